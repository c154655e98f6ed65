const { open } = require("node:fs/promises");

open(__filename).then(async (file) => {
    const handle = Object.getPrototypeOf(file);
    const stream = handle.readableWebStream;
    handle.readableWebStream = function () {
        return stream.call(this, { type: "bytes" });
    };
    await file.close();
});
