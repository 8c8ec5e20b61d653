//! Keys and certificates: the CA that clients trust, and what it says of the names they ask for.
//!
//! ```text
//!   mitmproxy-ca.pem ──▶ store ──▶ pem ──▶ ca ──────────▶ leaves ──▶ rustls, for each connection
//!                          │             checked            │ ▲
//!                          ▼ if there is none               ▼ │ one certificate for each name, kept
//!                        x509 writes one                    x509
//! ```
//!
//! Beside that: `export` and `p12` write the certificate as platforms take it, `roots` knows what this machine's programs trust.
//!
//! The CA is mitmproxy's, in its folder and its layout, so that whoever trusts that one needs nothing new. One that is there is
//! used as it is or refused, and never changed. Its files are touched while it is opened and never after.

mod ca;
mod certificate;
mod leaves;
#[cfg(test)]
mod peers;
mod pem;
mod roots;
mod store;
#[cfg(test)]
mod testing;
mod x509;

pub(crate) use ca::Ca;
pub use certificate::{CaCertificate, CertificateDetails};
pub(crate) use leaves::{LeafError, Leaves};
pub use roots::Roots;
pub(crate) use roots::of_machine as machine_roots;
pub(crate) use store::default_dir;
