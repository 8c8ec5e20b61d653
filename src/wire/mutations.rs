//! Mutates inputs for the tests of parsers and taps: a short round of fuzzing in every test run.

/// Calls `check` with every seed and with `count` mutations of each: bytes are changed, removed, repeated, or inserted from
/// another seed. The mutations are the same in every run.
pub(crate) fn mutations(seeds: &[Vec<u8>], count: usize, check: impl Fn(&[u8])) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % bound.max(1)
    };
    for seed in seeds {
        check(seed);
        for _ in 0..count {
            let mut data = seed.clone();
            for _ in 0..=below(4) {
                let at = below(data.len());
                let end = (at + 1 + below(8)).min(data.len());
                match below(6) {
                    0 => data.truncate(at),
                    1 => drop(data.drain(at..end)),
                    2 => data.extend_from_within(at..end),
                    3 => data.splice(at..at, seeds[below(seeds.len())].iter().copied()).for_each(drop),
                    4 if !data.is_empty() => data[at] ^= 1 << below(8),
                    _ if !data.is_empty() => data[at] = [0, 1, 0x7f, 0x80, 0xff, b' ', b'\n', b':'][below(8)],
                    _ => {}
                }
            }
            check(&data);
        }
    }
}
