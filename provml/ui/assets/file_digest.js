"use strict";
// The SHA-256 digest of a file, by the browser's own implementation. This implementation needs the
// whole content at once, so the page's memory limits the size of a file.

ui.fileDigest = (() => {
  const mostBytes = 1024 * 1024 * 1024;

  // Returns the commands that print a file's digest, for files that the browser can't hash.
  function advice(name) {
    return `Paste its digest instead. Linux: sha256sum "${name}". macOS: shasum -a 256 "${name}". ` +
      `Windows: certutil -hashfile "${name}" SHA256.`;
  }

  // Reads the content in pieces, so that the page can show the progress and stop early.
  async function readContent(file, onProgress, signal) {
    const content = new Uint8Array(file.size);
    const reader = file.stream().getReader();
    let done = 0;
    for (;;) {
      const piece = await reader.read();
      if (signal.aborted) { await reader.cancel(); throw new DOMException("stopped", "AbortError"); }
      if (piece.done) break;
      if (done + piece.value.length > content.length) throw new Error("the file has changed while it was read: try again");
      content.set(piece.value, done);
      done += piece.value.length;
      onProgress(done / file.size);
    }
    if (done < content.length) throw new Error("the file has changed while it was read: try again");
    return content;
  }

  // Returns the digest as 64 hexadecimal digits. Rejects with an error that says what to do.
  async function digest(file, onProgress, signal) {
    if (!window.crypto || !crypto.subtle) {
      throw new Error(`This browser hashes files only on pages from https or from this machine. ${advice(file.name)}`);
    }
    if (file.size > mostBytes) {
      throw new Error(`The file has ${ui.bytes(file.size)}, and a browser can hash at most ${ui.bytes(mostBytes)}. ${advice(file.name)}`);
    }
    let content;
    try {
      content = await readContent(file, onProgress, signal);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (error instanceof RangeError) throw new Error(`The file does not fit into the browser's memory. ${advice(file.name)}`);
      if (error.name === "NotFoundError" || error.name === "NotReadableError" || error.name === "TypeError") {
        throw new Error("The file can't be read. For a folder, run: provml lineage FOLDER");
      }
      throw error;
    }
    const found = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
    return [...found].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  return digest;
})();
