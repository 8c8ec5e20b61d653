//! A parsed `ca` command.

use super::shell::Shell;
use spectral_capture::{CaCertificate, TrustGuide};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A `ca` command and the CA that it is about.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) action: Action,
    /// The CA's directory; `None` is the default one.
    pub(crate) dir: Option<PathBuf>,
}

/// One of the `ca` commands, with its arguments.
#[derive(Debug)]
pub(crate) enum Action {
    /// Prints the path of the certificate.
    Path,
    /// Prints the details of the certificate.
    Show,
    /// Exports the certificate.
    Export {
        format: Format,
        /// `None` is stdout.
        output: Option<PathBuf>,
    },
    /// Prints variables with which programs use a proxy and trust it.
    Env {
        form: EnvForm,
        /// The proxy's address.
        proxy: SocketAddr,
        /// The directory for the files that the variables name; `None` is the CA's.
        trust_dir: Option<PathBuf>,
    },
    /// Prints lines that undo those of `Env`.
    UnsetEnv(Shell),
    /// Adds the certificate to the system's trust store.
    Install(Execution),
    /// Removes the certificate from the system's trust store.
    Uninstall(Execution),
    /// Prints the steps that make a platform trust the certificate and use the proxy at this address.
    Help(&'static TrustGuide, SocketAddr),
    /// Prints a profile for AppArmor with which this program may create namespaces.
    AppArmor,
}

/// A form in which variables are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnvForm {
    /// Lines for a shell to evaluate.
    Shell(Shell),
    /// Lines `NAME=VALUE`, as Docker and systemd read them.
    File,
}

/// The execution of commands that change the system: for real, or only shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Execution {
    Real,
    DryRun,
}

/// An export format of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Pem,
    Der,
    P12,
    MobileConfig,
}

impl Format {
    /// Parses the value of `--format`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Pem, Self::Der, Self::P12, Self::MobileConfig].into_iter().find(|format| format.name() == name)
    }

    /// Returns the name that [`Format::from_name`] takes.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pem => "pem",
            Self::Der => "der",
            Self::P12 => "p12",
            Self::MobileConfig => "mobileconfig",
        }
    }

    /// Returns the certificate in this format.
    pub(super) fn encode(self, ca: &CaCertificate) -> Vec<u8> {
        match self {
            Self::Pem => ca.pem().into(),
            Self::Der => ca.der().to_vec(),
            Self::P12 => ca.p12(),
            Self::MobileConfig => ca.mobileconfig().into(),
        }
    }

    /// True if a terminal cannot show it.
    pub(super) fn is_binary(self) -> bool {
        matches!(self, Self::Der | Self::P12)
    }
}
