//! Remedies for the library's errors, warnings and reasons, in terms of this program's commands and options.

use super::text::escape;
use spectral_capture::{Error, Reason, Uncaptured, Warning};
use std::io;
use std::path::Path;

/// An error with its remedy, for [`super::fail`].
pub(crate) fn error_line(error: &Error) -> String {
    with_remedy(error.to_string(), for_error(error))
}

/// A warning with its remedy, as a line for stderr.
pub(crate) fn warning_line(warning: &Warning) -> String {
    format!(
        "spectral: warning: {}
",
        escape(&with_remedy(warning.to_string(), for_warning(warning)))
    )
}

fn with_remedy(problem: String, remedy: Option<String>) -> String {
    match remedy {
        Some(remedy) => format!("{problem}; {remedy}"),
        None => problem,
    }
}

/// A remedy for an error that prevents a capture from starting.
pub(crate) fn for_error(error: &Error) -> Option<String> {
    match error {
        Error::Listen { cause, .. } => match cause.kind() {
            io::ErrorKind::AddrInUse => Some("choose another port with -p, or -p 0 for any free port".into()),
            io::ErrorKind::PermissionDenied => Some("choose a port above 1023 with -p".into()),
            io::ErrorKind::AddrNotAvailable => Some("choose an address of this machine with --listen".into()),
            _ => None,
        },
        Error::UpstreamCa { .. } => Some("give --upstream-ca a PEM file of certificates".into()),
        _ => None,
    }
}

/// A remedy for a problem of the capture itself.
pub(crate) fn for_warning(warning: &Warning) -> Option<String> {
    match warning {
        Warning::Leftover { part } | Warning::Unfinished { part, .. } => {
            Some(format!("make a bundle of it with: spectral capture recover {}", part.display()))
        }
        Warning::DescriptorLimit { .. } => Some("raise the limit with ulimit -n".into()),
        _ => None,
    }
}

/// A remedy for connections that were not captured. `passes_refused`: hosts whose clients refuse our certificate pass through.
pub(crate) fn for_uncaptured(uncaptured: &Uncaptured, ca_cert: Option<&Path>, passes_refused: bool) -> Option<String> {
    let name = uncaptured.host.rsplit_once(':').map_or(uncaptured.host.as_str(), |(name, _)| name);
    match &uncaptured.reason {
        Reason::CertificateRefused(_) | Reason::ClientLeft => Some(format!(
            "make the app trust {}, or exclude the host with -e {name}{}",
            ca_cert.map(|path| path.display().to_string()).unwrap_or_default(),
            if passes_refused { "" } else { " (or all such hosts with --passthrough-refused)" }
        )),
        Reason::OriginNotTrusted(_) => {
            Some("to capture it anyway, use -k, or trust its CA with --upstream-ca FILE".into())
        }
        Reason::OriginTls(cause) | Reason::ClientTls(cause)
            if cause.contains("in common") || cause.contains("version") =>
        {
            Some("only TLS 1.2 and 1.3 with modern cipher suites can be intercepted".into())
        }
        Reason::ClientCertificate => Some("only the app has the key for it; it cannot be captured".into()),
        Reason::Protocol(_) => Some("it can be captured if the app can use HTTP/1.1 or HTTP/2".into()),
        Reason::NotForAProxy => {
            Some("set HTTP_PROXY and HTTPS_PROXY to http://…; redirected traffic needs --transparent".into())
        }
        Reason::Internal => Some("please report it with the panic message above".into()),
        _ => None,
    }
}
