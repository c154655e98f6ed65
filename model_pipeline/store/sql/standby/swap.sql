-- The standby becomes `embedding`, and `embedding` the standby; their embedders likewise.
alter table chunks rename column embedding to embedding_before;
alter table chunks rename column embedding_standby to embedding;
alter table chunks rename column embedding_before to embedding_standby;
alter index if exists chunks_embedding rename to chunks_embedding_before;
alter index chunks_embedding_standby rename to chunks_embedding;
alter index if exists chunks_embedding_before rename to chunks_embedding_standby;
alter table chunks alter column embedding_standby drop not null,
    add constraint chunks_embedding_given check (embedding is not null) not valid;
update embedder set registered_at = now(),
    state = case when active then 'previous' else 'active' end
