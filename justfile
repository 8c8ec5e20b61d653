# One word per task; every recipe is a plain cargo command.

test:
    cargo test

lint:
    cargo clippy --all-targets -- -D warnings

doc:
    cargo doc --no-deps --open

bench *args:
    cargo bench {{args}}

fuzz target:
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{target}}
