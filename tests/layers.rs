//! The rules of the source tree, checked: which folder may import which, and which file may name which crate.
//!
//! ```text
//! runs while traffic flows                      before          after     the binary
//! net ─▶ record ─▶ bundle ─▶ wire, coding       trust ─▶ cert   tools     cli ─▶ the public API
//!  └───▶ cert                                                     └▶ bundle, coding
//! ```
//!
//! The tests read the source as text, without comments and test code. This rough parser is enough to find a forbidden
//! import.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The folders that run while traffic flows. An auditor of a running capture reads these and [`RUNNING_FILES`].
const RUNNING: &[&str] = &["net", "wire", "coding", "record", "bundle", "cert"];

/// The files directly below `src/` that run while traffic flows.
const RUNNING_FILES: &[&str] = &[
    "calendar",
    "capture_options",
    "channel",
    "clock",
    "config",
    "counters",
    "embedded",
    "error",
    "gauge",
    "memory",
    "notice",
    "proxy",
    "recorded",
    "recording",
    "sorting",
];

/// The modules of this crate that the files below each folder may import, besides their own folder.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &["calendar"]),
    ("text", &[]),
    ("notice", &["bundle", "wire"]),
    ("wire", &[]),
    ("coding", &[]),
    ("bundle", &["coding", "wire", "calendar", "clock", "error", "sorting"]),
    (
        "record",
        &[
            "bundle",
            "coding",
            "wire",
            "capture_options",
            "channel",
            "clock",
            "config",
            "connector",
            "error",
            "memory",
            "notice",
            "recorded",
            "sorting",
        ],
    ),
    ("cert", &["calendar", "clock", "embedded", "error"]),
    (
        "net",
        &["record", "cert", "wire", "channel", "clock", "config", "connector", "counters", "error", "memory", "notice"],
    ),
    ("trust", &["cert", "clock", "error", "text", "sorting"]),
    ("tools", &["bundle", "calendar", "channel", "coding", "wire", "clock", "embedded", "error", "text", "sorting"]),
    ("cli", &["calendar", "channel", "cli", "sorting"]),
];

/// Names outside the crate that no file below a folder may use.
const MUST_NOT_NAME: &[(&str, &[&str])] = &[
    // Pure computation: no waiting, no input or output, no clock.
    (
        "wire",
        &[
            "std::net",
            "std::fs",
            "std::thread",
            "std::process",
            "std::env",
            "std::os",
            "std::sync::mpsc",
            "std::io",
            "std::time::Instant",
            "Instant::now",
            "SystemTime",
            "TcpStream",
            "rustls",
            "nix::",
        ],
    ),
    // Pure computation, on readers and sinks.
    (
        "coding",
        &[
            "std::net",
            "std::fs",
            "std::thread",
            "std::process",
            "std::env",
            "std::os",
            "std::sync",
            "Instant::now",
            "SystemTime",
            "TcpStream",
            "rustls",
            "nix::",
        ],
    ),
    // No sockets.
    ("bundle", &["std::net", "TcpStream", "TcpListener", "UdpSocket", "rustls", "nix::"]),
    ("record", &["std::net", "TcpStream", "TcpListener", "UdpSocket", "rustls", "nix::"]),
    ("tools", &["std::net", "TcpStream", "TcpListener", "UdpSocket", "rustls", "nix::"]),
    // No parsing: that is the work of `wire`.
    ("net", &["httparse", "zip::", "flate2", "serde_json"]),
];

/// Types that `wire/` may use although their names look like input or output.
const HARMLESS: &[&str] = &[
    "std::net::{Ipv4Addr, Ipv6Addr}",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::io::Cursor",
];

/// Foreign crates, and the file or folder that may name each. `docs/dependencies.md` has the same list.
pub const NAMED_IN: &[(&str, &str)] = &[
    ("httparse", "wire/http1/fields.rs"),
    ("zlib_rs", "wire/websocket/inflate.rs"),
    ("crc32fast", "coding/crc32.rs"),
    ("brotli_decompressor", "coding/brotli.rs"),
    ("ruzstd", "coding/zstd.rs"),
    ("nix", "net/sys/"),
    ("rustix", "bundle/archive/buffered_file.rs"),
    ("rustix", "bundle/output/sys.rs"),
    ("rustix", "record/writer/packer_time.rs"),
    ("rustix", "record/writer/packers/priority.rs"),
    ("nix", "cli/process/"),
    ("nix", "cli/namespace/"),
    ("nix", "cert/permissions.rs"),
    ("pem", "cert/"),
    ("base64", "text.rs"),
    ("ring", "cert/"),
    ("ring", "trust/"),
    ("ring", "tools/export/html/page.rs"),
    ("rustls_native_certs", "cert/roots.rs"),
    ("memchr", "tools/filter/search.rs"),
    ("lexopt", "cli/args/parser.rs"),
    ("signal_hook", "cli/process/signals.rs"),
    ("rustix", "cli/process/terminal.rs"),
];

#[test]
fn each_folder_imports_only_allowed_modules() {
    let listed: BTreeSet<_> = MAY_IMPORT.iter().map(|(folder, _)| (*folder).to_owned()).collect();
    assert_eq!(listed, folders(), "MAY_IMPORT lists all folders of src");
    let mut wrong = Vec::new();
    for (folder, allowed) in MAY_IMPORT {
        for (file, text) in sources(folder) {
            for (number, line) in text.lines().enumerate() {
                for module in modules_in(line) {
                    if module != *folder && !allowed.contains(&module) {
                        wrong.push(format!("src/{file}:{}: {folder} imports {module}: {}", number + 1, line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Code that runs while traffic flows may not import the tools, the trust helpers or the command line. The one exception is
/// `proxy.rs`, which renders the CA page and reads the environment before it listens.
#[test]
fn running_folders_import_no_other_folder() {
    let mut wrong = Vec::new();
    for (file, text) in sources("") {
        let folder = file.split('/').next().unwrap().trim_end_matches(".rs");
        if !RUNNING.contains(&folder) && (!RUNNING_FILES.contains(&folder) || folder == "proxy") {
            continue;
        }
        for module in text.lines().flat_map(modules_in) {
            if ["tools", "trust", "cli"].contains(&module) {
                wrong.push(format!("src/{file} imports {module}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let sources = sources("");
    let (_, proxy) = sources.iter().find(|(file, _)| file == "proxy.rs").unwrap();
    assert!(!proxy.contains("crate::tools") && !proxy.contains("crate::cli"));
}

#[test]
fn no_folder_uses_a_forbidden_name() {
    let mut wrong = Vec::new();
    for (folder, words) in MUST_NOT_NAME {
        let sources = sources(folder);
        assert!(!sources.is_empty(), "{folder} has no files");
        for (file, text) in sources {
            for (number, line) in text.lines().enumerate() {
                let line = HARMLESS.iter().fold(line.to_owned(), |line, harmless| line.replace(harmless, ""));
                for word in words.iter().filter(|word| names(&line, word)) {
                    wrong.push(format!("src/{file}:{} {word}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Two modules that import each other can only be read together. This holds for files, and for files taken together with
/// their submodules.
#[test]
fn no_modules_import_each_other() {
    let mut cycles = Vec::new();
    for depth in [2, usize::MAX] {
        let imports = imports(depth);
        for module in imports.keys() {
            if let Some(path) = path_back_to(module, &imports) {
                cycles.push(path.join(" -> "));
            }
        }
    }
    cycles.sort();
    cycles.dedup();
    assert!(cycles.is_empty(), "{cycles:#?}");
}

#[test]
fn foreign_crates_are_named_only_where_listed() {
    let mut wrong = Vec::new();
    for (name, place) in NAMED_IN {
        let mut used = false;
        for (file, text) in sources("") {
            if !names_crate(&text, name) {
                continue;
            }
            used |= file.starts_with(place);
            if !NAMED_IN.iter().any(|(known, place)| known == name && file.starts_with(place)) {
                wrong.push(format!("src/{file} names {name}, which belongs to {place}"));
            }
        }
        if !used {
            wrong.push(format!("{place} does not name {name}: remove the row, or the dependency from Cargo.toml"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// `docs/dependencies.md` has the same list as [`NAMED_IN`].
#[test]
fn the_documented_places_of_crates_are_the_real_ones() {
    let document = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let mut wrong = Vec::new();
    for (name, place) in NAMED_IN {
        let name = name.replace('_', "-");
        let row = document.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
        if !row.is_some_and(|row| row.contains(&format!("`{place}`"))) {
            wrong.push(format!("{name} | {place}"));
        }
    }
    assert!(wrong.is_empty(), "missing in docs/dependencies.md: {wrong:#?}");
}

#[test]
fn one_file_reads_the_clock_and_only_the_command_line_prints() {
    let mut wrong = Vec::new();
    for (file, text) in sources("") {
        let clock = ["Instant::now", "SystemTime::now", ".elapsed()"];
        if file != "clock.rs" && clock.iter().any(|word| text.contains(word)) {
            wrong.push(format!("src/{file} reads the clock"));
        }
        let printing =
            ["println!", "print!(", "eprint!(", "dbg!(", "std::io::stderr", "std::io::stdout", "io::stdout()"];
        if !file.starts_with("cli/") && file != "main.rs" && printing.iter().any(|word| text.contains(word)) {
            wrong.push(format!("src/{file} prints"));
        }
        if text.contains("unsafe ") {
            wrong.push(format!("src/{file} is unsafe"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// An error or warning of the library states the cause. Remedies name options, and options belong to the command line.
#[test]
fn no_message_of_the_library_names_an_option() {
    // Instructions for people: the CA page and the trust guides.
    let instructions = ["trust/guides.rs", "trust/page.rs"];
    let mut wrong = Vec::new();
    for (file, text) in sources("") {
        if file.starts_with("cli/") || instructions.contains(&file.as_str()) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for string in line.split('"').skip(1).step_by(2) {
                let is_option = |word: &str| {
                    let name = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
                    let long = name.strip_prefix("--").is_some_and(|name| name.starts_with(char::is_alphabetic));
                    let short = name.len() == 2 && name.starts_with('-') && name.ends_with(char::is_alphabetic);
                    long || short
                };
                if string.contains("spectral c") || string.split_whitespace().any(is_option) {
                    wrong.push(format!("src/{file}:{}: {string}", number + 1));
                }
            }
        }
    }
    // Options of curl and of Node.
    let of_others = ["src/tools/export/curl", "src/trust/variables"];
    wrong.retain(|line| !of_others.iter().any(|file| line.starts_with(file)));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// ARCHITECTURE.md states how many lines an auditor of a running capture reads.
#[test]
fn the_documented_size_of_a_running_capture_is_true() {
    let (mut running, mut all) = (0, 0);
    for (file, text) in sources("") {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        all += lines;
        let folder = file.split('/').next().unwrap().trim_end_matches(".rs");
        if RUNNING.contains(&folder) || RUNNING_FILES.contains(&folder) {
            running += lines;
        }
    }
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let stated = |after: &str| {
        let at = document.find(after).unwrap_or_else(|| panic!("ARCHITECTURE.md does not have {after:?}"));
        let digits: String = document[..at].chars().rev().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
        digits.chars().rev().filter(char::is_ascii_digit).collect::<String>().parse::<usize>().unwrap()
    };
    for (figure, after) in [(running, " lines run while traffic flows"), (all, " lines in all")] {
        let stated = stated(after);
        assert!(stated.abs_diff(figure) <= 150, "ARCHITECTURE.md: {stated}{after}; there are {figure}");
    }
}

#[test]
fn tests_and_comments_do_not_count() {
    let text = "\
use a; // use b
/// use c
#[cfg(test)]
mod testing {
    use d;
}
#[cfg(any(test, fuzzing))]
pub(crate) mod more {
    mod inner { use e; }
}
#[cfg(test)]
mod elsewhere;
fn f() { \"http://g\" }
#[cfg(test)]
mod tests {
    use h;
}
";
    let code = code_of(text);
    for (word, counts) in [("a", true), ("b", false), ("c", false), ("d", false), ("e", false), ("h", false)] {
        assert_eq!(code.contains(&format!("use {word}")), counts, "{word} in {code}");
    }
    assert!(code.contains("fn f()") && !code.contains("elsewhere"), "{code}");
    assert!(names_crate("use zip::write;", "zip") && names_crate("x: zip::Zip", "zip"));
    assert!(!names_crate("crate::zip::x", "zip") && !names_crate("unzip::x", "zip") && !names_crate("zipped", "zip"));
    assert_eq!(modules_in("use crate::net::x; crate::wire::y()").collect::<Vec<_>>(), ["net", "wire"]);
    assert_eq!(modules_in("use crate::{net, wire::x};").collect::<Vec<_>>(), ["net", "wire"]);
}

#[test]
fn imports_are_resolved_to_modules() {
    let known = ["net::leg", "net::tls", "wire", "record::url"].map(str::to_owned).into();
    let imports = |file: &str, text: &str| imports_of(file, text, &known, 2).into_iter().collect::<Vec<_>>();
    assert_eq!(imports("net/relay.rs", "use super::leg::Leg;\nuse super::tls::{a, b};"), ["net::leg", "net::tls"]);
    assert_eq!(imports("net/relay.rs", "use super::{leg::Leg, tls};"), ["net::leg", "net::tls"]);
    assert_eq!(imports("net/tls/session.rs", "use super::super::leg;"), ["net::leg"]);
    assert_eq!(imports("net/relay.rs", "crate::record::url::of()"), ["record::url"]);
    assert_eq!(imports("net/leg.rs", "use super::leg::x;"), [""; 0]);
    let cycle = BTreeMap::from([
        ("a".to_owned(), BTreeSet::from(["b".to_owned()])),
        ("b".to_owned(), BTreeSet::from(["c".to_owned()])),
        ("c".to_owned(), BTreeSet::from(["a".to_owned()])),
    ]);
    assert_eq!(path_back_to("a", &cycle).unwrap(), ["a", "b", "c", "a"]);
}

/// Returns the modules of this crate that `line` names, `net` for `crate::net::…`.
fn modules_in(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").filter(|(at, _)| !line[..*at].ends_with(['_', '$'])).flat_map(|(at, found)| {
        let rest = &line[at + found.len()..];
        let list = rest.strip_prefix('{').map(|list| list.split('}').next().unwrap());
        let paths: Vec<&str> = list.map_or(vec![rest], |list| list.split(',').collect());
        let name =
            |path: &str| path.trim().find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.trim().len());
        paths.into_iter().map(move |path| &path.trim()[..name(path)]).filter(|name| !name.is_empty())
    })
}

/// Returns the modules that each module imports. At depth 2, `net::leg` stands for `net/leg.rs` and all of `net/leg/`.
fn imports(depth: usize) -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources("");
    let known: BTreeSet<String> = sources.iter().map(|(file, _)| module_of(file, depth)).collect();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in &sources {
        // They list modules and re-export names.
        if ["lib.rs", "main.rs", "fuzz.rs"].contains(&file.as_str()) || file.ends_with("mod.rs") {
            continue;
        }
        imports.entry(module_of(file, depth)).or_default().extend(imports_of(file, text, &known, depth));
    }
    imports
}

/// Returns the modules among `known` that `file` imports, except itself, its submodules and its parents.
fn imports_of(file: &str, text: &str, known: &BTreeSet<String>, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let segments: Vec<&str> = segments_of(file).collect();
    for statement in text.split(';') {
        for (at, start) in ["crate::", "super::"].iter().flat_map(|start| statement.match_indices(start)) {
            // `super::super::` is read once, at its beginning.
            if statement[..at].ends_with("super::") || statement[..at].ends_with('_') {
                continue;
            }
            let mut base = if start == "crate::" { Vec::new() } else { segments.clone() };
            let mut rest = &statement[at..];
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            let rest = rest.strip_prefix("crate::").unwrap_or(rest);
            let list = rest.strip_prefix('{').map(|list| list.split('}').next().unwrap());
            let paths: Vec<&str> = list.map_or(vec![rest], |list| list.split(',').collect());
            for path in paths {
                let names = path.trim().split("::").map(|name| {
                    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
                    &name[..end]
                });
                let full: Vec<&str> = base.iter().copied().chain(names).collect();
                let module = (1..=full.len().min(depth)).rev().map(|len| full[..len].join("::"));
                found.extend(module.filter(|module| known.contains(module)).take(1));
            }
        }
    }
    let own = module_of(file, depth);
    let is_within = |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}::"));
    found.retain(|module| !is_within(module, &own) && !is_within(&own, module));
    found
}

fn module_of(file: &str, depth: usize) -> String {
    segments_of(file).take(depth).collect::<Vec<_>>().join("::")
}

fn segments_of(file: &str) -> impl Iterator<Item = &str> {
    file.trim_end_matches(".rs").trim_end_matches("/mod").split('/')
}

/// Returns the shortest path along imports from `module` back to itself.
fn path_back_to(module: &str, imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut paths = vec![vec![module.to_owned()]];
    let mut seen = BTreeSet::new();
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            for next in imports.get(path.last().unwrap()).into_iter().flatten() {
                let mut path = path.clone();
                path.push(next.clone());
                if next == module {
                    return Some(path);
                }
                if seen.insert(next.clone()) {
                    longer.push(path);
                }
            }
        }
        paths = longer;
    }
    None
}

/// Returns true if `line` contains `word` as a whole word.
fn names(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part_of_name);
        let after = line[at + word.len()..].chars().next().is_some_and(part_of_name);
        !before && (!after || word.ends_with(':'))
    })
}

/// Returns true if `text` names the foreign crate `name` in a path.
fn names_crate(text: &str, name: &str) -> bool {
    text.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

/// The names of the folders directly below `src/`.
fn folders() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("src")).unwrap().map(Result::unwrap);
    entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Returns the path below `src/` and the code of every file below `folder`, without comments. Files for tests only are left out.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = root().join("src");
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    files.sort();
    let only_for_tests = test_modules(&files);
    let tested = |file: &PathBuf| only_for_tests.iter().any(|module| file.with_extension("").starts_with(module));
    let wanted = files.iter().filter(|file| !tested(file));
    wanted
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            (name, code_of(&fs::read_to_string(file).unwrap()))
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Returns the paths, without `.rs`, of modules that are declared for tests only.
fn test_modules(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut modules = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let mut for_tests = false;
        for line in text.lines().map(str::trim) {
            let declared = line.rsplit_once("mod ").and_then(|(_, name)| name.strip_suffix(';'));
            if let (true, Some(name)) = (for_tests, declared) {
                let folder = match file.file_stem().unwrap().to_str().unwrap() {
                    "mod" | "lib" | "main" => file.parent().unwrap().to_owned(),
                    _ => file.with_extension(""),
                };
                modules.push(folder.join(name));
            }
            for_tests = is_test_attribute(line) || (for_tests && line.starts_with("#["));
        }
    }
    modules
}

fn is_test_attribute(line: &str) -> bool {
    line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(any(test") || line.starts_with("#[cfg(all(test")
}

/// Returns `text` without comments and test code. Lines keep their numbers.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    // Inside a test item: the number of open braces; `None` before the first.
    let mut skipping: Option<Option<usize>> = None;
    for line in text.lines() {
        let bare = without_comment(line);
        if skipping.is_none() && is_test_attribute(bare.trim_start()) {
            skipping = Some(None);
        } else if let Some(depth) = skipping {
            let (opened, closed) = (bare.matches('{').count(), bare.matches('}').count());
            skipping = match depth {
                None if opened == 0 && bare.trim_end().ends_with([';', ',']) => None,
                None if opened == 0 => Some(None),
                _ => {
                    let open = (depth.unwrap_or(0) + opened).saturating_sub(closed);
                    (open > 0).then_some(Some(open))
                }
            };
        } else {
            code.push_str(bare);
        }
        code.push('\n');
    }
    code
}

/// `line` up to a comment. The slashes of a URL do not begin a comment.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}
