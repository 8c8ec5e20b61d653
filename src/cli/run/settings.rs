//! The contents of settings files that name the roots, for programs that read no variable for them.

use spectral_capture::Environment;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the user's wget settings and the roots to trust. Of two values of a setting, wget takes the last.
pub(super) fn of_wget(environment: &Environment, roots: &Path) -> Vec<u8> {
    let own = match (environment.value("WGETRC"), environment.value("HOME")) {
        (Some(file), _) => Some(PathBuf::from(file)),
        (None, Some(home)) => Some(Path::new(home).join(".wgetrc")),
        (None, None) => None,
    };
    let mut settings = own.and_then(|file| fs::read(file).ok()).unwrap_or_default();
    settings.extend_from_slice(b"\nca_certificate = ");
    settings.extend_from_slice(roots.as_os_str().as_encoded_bytes());
    settings.push(b'\n');
    settings
}

/// Returns the user's wget2 settings, without a proxy: wget2 1.99 sends TLS to an HTTP proxy, and plain requests without the
/// port. wget2 reads only the first of these files.
pub(super) fn of_wget2(environment: &Environment) -> Vec<u8> {
    let under = |variable, name| environment.value(variable).map(|folder| Path::new(folder).join(name));
    let files = [
        environment.value("WGET2RC").map(PathBuf::from),
        under("XDG_CONFIG_HOME", "wget/wget2rc"),
        under("HOME", ".config/wget/wget2rc"),
        under("HOME", ".wget2rc"),
    ];
    let mut settings = files.into_iter().flatten().find_map(|file| fs::read(file).ok()).unwrap_or_default();
    settings.extend_from_slice(b"\nhttp-proxy =\nhttps-proxy =\n");
    settings
}

/// Returns an apt configuration that includes the one that `APT_CONFIG` names, and the roots to trust. `None` if a path
/// cannot be quoted.
pub(super) fn of_apt(environment: &Environment, roots: &Path) -> Option<String> {
    let include = match environment.value("APT_CONFIG") {
        Some(file) => format!("#include {};\n", quoted(Path::new(file))?),
        None => String::new(),
    };
    Some(format!("{include}Acquire::https::CAInfo {};\n", quoted(roots)?))
}

/// Returns PHP settings with the roots to trust. `None` if the path cannot be quoted, or cannot be in a list of
/// directories.
pub(super) fn of_php(roots: &Path) -> Option<String> {
    let roots = quoted(roots).filter(|roots| !roots.contains(':'))?;
    Some(format!("curl.cainfo = {roots}\nopenssl.cafile = {roots}\n"))
}

/// Returns a path in double quotes; `None` if it has characters that a program would expand in them.
fn quoted(path: &Path) -> Option<String> {
    let path = path.to_str()?;
    let is_plain = |c: char| !c.is_control() && !['"', '\\', '$'].contains(&c);
    path.chars().all(is_plain).then(|| format!("\"{path}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_cannot_be_quoted_gets_no_settings() {
        for path in ["/a$HOME/r", "/a\"b/r", "/a\\b/r", "/a\nb/r"] {
            assert_eq!(of_php(Path::new(path)), None, "{path}");
            assert_eq!(of_apt(&Environment::default(), Path::new(path)), None, "{path}");
        }
        assert_eq!(of_php(Path::new("/a:b/r")), None);
        let apt = "Acquire::https::CAInfo \"/it's a:b/r\";\n";
        assert_eq!(of_apt(&Environment::default(), Path::new("/it's a:b/r")).as_deref(), Some(apt));
    }
}
