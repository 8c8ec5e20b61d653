// Generates a body of a given size: 4 KiB of each byte value, starting with another value in each MiB.
'use strict';
const { Readable } = require('stream');

function* pieces(size) {
  for (let at = 0; at < size; at += 65536) {
    const piece = Buffer.allocUnsafe(Math.min(65536, size - at));
    for (let from = 0; from < piece.length; from += 4096) {
      piece.fill((((at + from) >> 12) & 0xff) ^ ((at >> 20) & 0xff), from, Math.min(from + 4096, piece.length));
    }
    yield piece;
  }
}

exports.filling = (size) => Readable.from(pieces(size), { objectMode: false });
