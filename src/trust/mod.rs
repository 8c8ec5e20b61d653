//! Makes clients trust the CA: certificate formats, environment variables, and guides per platform.
//!
//! Used before traffic flows. The folders that run while traffic flows import nothing from here.

pub(crate) mod details;
pub(crate) mod environment;
pub(crate) mod guides;
mod markup;
pub(crate) mod p12;
pub(crate) mod page;
pub(crate) mod profile;
pub(crate) mod roots;
mod variables;
