select public.require_embedder(%(embedder)s), public.scope_version(%(collection)s, %(embedder)s)
