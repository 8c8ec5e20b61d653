//! The file names of a capture that rotates: `capture-0001.zip`, `capture-0002.zip` and so on for `capture.zip`.

use crate::bundle::disk_watch::timed;
use crate::bundle::output::names::directory_of;
use crate::bundle::output::part::output_of;
use crate::bundle::output::path::bundle_path;
use crate::error::Error;
use crate::sorting::sort_by;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

/// Makes the names of a capture's bundles.
pub(super) struct BundleNames {
    /// The path that the names are made from.
    output: PathBuf,
    /// The number in the last name, or the highest number that was there.
    last: u64,
}

impl BundleNames {
    /// Returns names that continue after the highest number that is in use beside `output`. Also returns the paths of
    /// unfinished bundles with such names.
    pub(super) fn new(output: &Path) -> Result<(Self, Vec<PathBuf>), Error> {
        let resolved = bundle_path(output).map_err(|cause| Error::Output { path: output.to_owned(), cause })?;
        let mut names = Self { output: resolved, last: 0 };
        let mut unfinished = Vec::new();
        // If the directory cannot be read, the names are checked one by one.
        let entries = fs::read_dir(directory_of(&names.output)).into_iter().flatten().flatten();
        for entry in entries {
            let path = names.output.with_file_name(entry.file_name());
            let is_part = path.extension() == Some(OsStr::new("part"));
            let finished = if is_part { output_of(&path) } else { Some(path.clone()) };
            if let Some(number) = finished.and_then(|path| names.number_of(path.file_name()?)) {
                names.last = names.last.max(number);
                if is_part {
                    unfinished.push(path);
                }
            }
        }
        sort_by(&mut unfinished, &|a, b| a.cmp(b));
        Ok((names, unfinished))
    }

    /// Returns the next path. Neither it nor that of its unfinished bundle exists.
    pub(super) fn next(&mut self) -> PathBuf {
        loop {
            self.last = self.last.saturating_add(1);
            let [prefix, suffix] = self.affixes();
            let mut name = prefix;
            name.push(format!("{:04}", self.last));
            name.push(suffix);
            let mut part = name.clone();
            part.push(".part");
            let is_free = |name: &OsString| timed(|| fs::symlink_metadata(self.output.with_file_name(name))).is_err();
            if is_free(&name) && is_free(&part) {
                return self.output.with_file_name(name);
            }
        }
    }

    /// Makes the last number available again: its file was not created.
    pub(super) fn release(&mut self) {
        self.last = self.last.saturating_sub(1);
    }

    /// Returns the parts of a name before and after the number: `capture-` and `.zip`.
    fn affixes(&self) -> [OsString; 2] {
        let mut prefix = self.output.file_stem().unwrap_or_default().to_owned();
        prefix.push("-");
        let mut suffix = OsString::new();
        if let Some(extension) = self.output.extension() {
            suffix.push(".");
            suffix.push(extension);
        }
        [prefix, suffix]
    }

    /// Returns the number in `name`, if it is one of these names.
    fn number_of(&self, name: &OsStr) -> Option<u64> {
        let [prefix, suffix] = self.affixes();
        let digits = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes())?;
        let digits = digits.strip_suffix(suffix.as_encoded_bytes())?;
        let is_number = digits.len() >= 4 && digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::test_dir::TestDir;

    #[test]
    fn numbers_continue_after_the_highest_one() {
        let dir = TestDir::new("names");
        let names = |output: &str| BundleNames::new(&dir.path(output)).unwrap();
        assert_eq!(names("capture.zip").0.next(), dir.path("capture-0001.zip"));
        for file in ["capture-0003.zip", "capture-0007.zip.part", "capture-0008.zip.2.part", "other-0020.zip"] {
            fs::write(dir.path(file), "").unwrap();
        }
        // Not names of this capture.
        for file in ["capture-010.zip", "capture-0011.zip.bak", "capture-0012.har", "capture-00x3.zip", "capture-.zip"]
        {
            fs::write(dir.path(file), "").unwrap();
        }
        let (mut capture, unfinished) = names("capture.zip");
        assert_eq!(unfinished, ["capture-0007.zip.part", "capture-0008.zip.2.part"].map(|name| dir.path(name)));
        assert_eq!(capture.next(), dir.path("capture-0009.zip"));
        // Another capture began these meanwhile.
        fs::write(dir.path("capture-0010.zip"), "").unwrap();
        fs::write(dir.path("capture-0011.zip.part"), "").unwrap();
        assert_eq!(capture.next(), dir.path("capture-0012.zip"));
        fs::write(dir.path("capture-9999.zip"), "").unwrap();
        assert_eq!(names("capture.zip").0.next(), dir.path("capture-10000.zip"));
        fs::write(dir.path("capture-10001.zip"), "").unwrap();
        assert_eq!(names("capture.zip").0.next(), dir.path("capture-10002.zip"));
    }

    #[test]
    fn any_output_path_has_numbered_names() {
        let dir = TestDir::new("odd-names");
        for (output, expected) in [("a.b.zip", "a.b-0001.zip"), ("noext", "noext-0001"), (".zip", ".zip-0001")] {
            assert_eq!(BundleNames::new(&dir.path(output)).unwrap().0.next(), dir.path(expected));
        }
        let is_error = |output: PathBuf| BundleNames::new(&output).is_err();
        assert!(is_error(dir.directory().to_owned()) && is_error("/".into()) && is_error("/dev/null".into()));
        assert_eq!(BundleNames::new(Path::new("x.zip")).unwrap().0.next(), Path::new("x-0001.zip"));
    }
}
