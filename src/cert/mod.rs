//! The CA that clients trust, the leaf certificates that it signs, and the machine's root certificates.
//!
//! ```text
//!   mitmproxy-ca.pem ──▶ store ──▶ pem ──▶ ca ──────────▶ leaves ──▶ rustls, for each connection
//!                          │             checked            │ ▲
//!                          ▼ if the file is missing         ▼ │ one certificate per name, cached
//!                        x509 creates one                   x509
//! ```
//!
//! `roots` reads the roots that verify origins, `origin` the certificates of origins, `client` those for origins that request one.
//! `x509_reader` reads certificates and `x509` writes them. `crate::trust` builds on this module; nothing here imports it.
//!
//! The CA uses mitmproxy's directory and file layout, so devices that already trust mitmproxy's CA need no new setup. An
//! existing CA is used unchanged or rejected. Its files are accessed only while it is opened.

mod ca;
mod certificate;
mod client;
pub(crate) mod der;
pub(crate) mod der_writer;
#[cfg(test)]
mod interop;
mod leaves;
mod origin;
mod pem;
mod permissions;
mod roots;
mod store;
#[cfg(test)]
pub(crate) mod testing;
mod validity;
mod x509;
pub(crate) mod x509_reader;

pub(crate) use ca::Ca;
pub use certificate::CaCertificate;
pub(crate) use client::{client_certificate, read_client_certificate};
pub(crate) use leaves::{LeafError, Leaves};
pub(crate) use origin::{OriginCertificate, SignatureCheck};
pub(crate) use pem::encode_certificate as encode_pem;
#[cfg(test)]
pub(crate) use pem::encode_private_key;
pub(crate) use roots::{RootLocations, machine_roots, mozilla_roots, read_roots, system_roots};
pub(crate) use x509::{NULL, SET};
pub(crate) use x509_reader::X509;
