#!/usr/bin/env python3
"""Prints the size of a binary by crate, and of our own code by folder, as Markdown tables.

    cargo dist --config profile.release.strip=false
    size_table.py target/x86_64-unknown-linux-gnu/release/spectral

Reads the symbols with nm(1), so the binary must not be stripped. Data without a symbol, such as string literals, is in the last row.
"""

import collections
import os
import re
import subprocess
import sys

# Functions of C and assembly code have no crate; these prefixes are those of ring's.
RING = re.compile(r"(ring_core|ecp_|p256_|p384_|bn_|fe_|x25519|sha\d|aes|gcm|chacha|poly1305|GFp|CRYPTO)")
OURS = ("spectral", "spectral_capture")
# Crates below this share of the binary are added up.
MIN_BYTES = 20_000


def symbols(binary):
    """Yields the size and the demangled name of each symbol, one per address."""
    listed = subprocess.run(["nm", "-S", "-C", binary], check=True, capture_output=True, text=True).stdout
    seen = set()
    for line in listed.splitlines():
        parts = line.split(None, 3)
        if len(parts) == 4 and parts[2] not in "bB" and parts[0] not in seen:
            seen.add(parts[0])
            yield int(parts[1], 16), parts[3]


def crate_and_folder(name):
    path = re.match(r"[<&*]*(?:mut |dyn )*(\w+)::(\w+)", name)
    if path:
        return path[1], path[2]
    return ("ring" if RING.search(name) else "C library"), ""


def row(name, size, total):
    print(f"| {name} | {round(size / 1000):,} | {100 * size / total:.1f} % |")


def main():
    binary = sys.argv[1]
    crates, folders = collections.Counter(), collections.Counter()
    for size, name in symbols(binary):
        crate, folder = crate_and_folder(name)
        crates["Spectral" if crate in OURS else crate] += size
        if crate in OURS:
            folders[folder] += size
    stripped = binary + ".stripped"
    subprocess.run(["strip", "-o", stripped, binary], check=True)
    total = os.path.getsize(stripped)
    os.remove(stripped)

    print(f"| crate | kB of {round(total / 1000):,} | share |\n|---|---|---|")
    small = sum(size for size in crates.values() if size < MIN_BYTES)
    for crate, size in crates.most_common():
        if size >= MIN_BYTES:
            row(f"`{crate}`" if crate not in ("C library", "Spectral") else crate, size, total)
    row("other crates", small, total)
    row("strings, unwind tables, relocations", total - sum(crates.values()), total)
    ours = sum(folders.values())
    print(f"\n| folder or file of `src/` | kB of {round(ours / 1000):,} | share |\n|---|---|---|")
    for folder, size in folders.most_common():
        if size >= 1000:
            row(f"`{folder}`", size, ours)


if __name__ == "__main__":
    main()
