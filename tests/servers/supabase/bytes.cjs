// Storage streams files as Node 24 does by itself; older ones do when told.
const { open } = require("node:fs/promises");

open(__filename).then(async (handle) => {
  const files = Object.getPrototypeOf(handle);
  const stream = files.readableWebStream;
  files.readableWebStream = function (options) {
    return stream.call(this, { type: "bytes", ...options });
  };
  await handle.close();
});
