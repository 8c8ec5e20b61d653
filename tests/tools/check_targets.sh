#!/usr/bin/env bash
# Type-checks library and binary for systems that this machine cannot build for: check_targets.sh [TARGET...]
#
# No std of another target is needed: Debian's compiler comes with the source of its std, and -Zbuild-std checks that source first. Its
# packages are unpacked below target/foreign, nothing is installed. C code (ring's) is "compiled" into empty files, because
# nothing is linked or run. All targets are checked by one cargo process, which checks build scripts and macros once.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ $# -eq 0 ]; then
    set -- aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-apple-darwin x86_64-unknown-freebsd
fi
dir=${CARGO_TARGET_DIR:-$PWD/target}/foreign
root=$dir/root
mkdir -p "$dir/tools" "$dir/packages"

# Prints those of the packages' dependencies that belong to the compiler.
needed_by() {
    apt-cache depends "$@" | sed -nE 's/^ +Depends: (libstd-rust[^ ]*|libllvm[0-9.]*)$/\1/p'
}

if [ ! -x "$root/usr/bin/rustc" ]; then
    apt-get update -qq
    packages=(rustc-web rust-web-src)
    # From the compiler to its std, the library of the compiler, and LLVM.
    for _ in 1 2 3; do
        mapfile -t packages < <({ printf '%s\n' "${packages[@]}" && needed_by "${packages[@]}"; } | sort -u)
    done
    (cd "$dir/packages" && apt-get download -qq "${packages[@]}")
    rm -rf "$root" "$root.new"
    for package in "$dir"/packages/*.deb; do
        dpkg-deb --extract "$package" "$root.new"
    done
    mv "$root.new" "$root"
    rm -r "$dir/packages"
fi

# A C compiler that writes an empty file for each -o, and reports that it is clang.
cat >"$dir/tools/cc" <<'CC'
#!/bin/sh
for argument; do
    case $argument in
        --version) echo "clang version 15.0.0"; exit ;;
        -E) echo clang; exit ;;
    esac
done
while [ $# -gt 0 ]; do
    case $1 in
        -o) shift; : >"$1" ;;
        -o*) : >"${1#-o}" ;;
    esac
    shift
done
CC
# An archiver that writes empty archives.
cat >"$dir/tools/ar" <<'AR'
#!/bin/sh
for argument; do
    case $argument in *.a) printf '!<arch>\n' >"$argument" ;; esac
done
AR
chmod +x "$dir/tools/cc" "$dir/tools/ar"

llvm=$(find "$root" -name 'libLLVM*.so*' -print -quit)
LD_LIBRARY_PATH=$(find "$root" -name 'librustc_driver*.so' -printf '%h' -quit):$(dirname "$llvm")
export LD_LIBRARY_PATH
# The compiler of this machine's cargo is replaced. Checks need no debug information.
cargo=$(rustup which cargo 2>/dev/null || command -v cargo)
export RUSTC=$root/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$dir/build CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0
unset RUSTC_WRAPPER RUSTFLAGS
options=()
for target; do
    options+=(--target "$target")
    name=${target//-/_}
    export "CC_$name=$dir/tools/cc" "AR_$name=$dir/tools/ar"
done
timeout 900 "$cargo" check --quiet --locked -Zbuild-std=std,panic_abort --lib --bins "${options[@]}"
printf '%s: checked\n' "$@"
