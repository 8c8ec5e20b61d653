//! The exchanges that a document does not describe, and why.

use super::Omitted;
use super::json_value::{Json, Object};
use crate::bundle::reader::Trace;
use crate::tools::export::http::{first, media_type};

/// A reason to leave an exchange out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    NoResponse,
    CutOff,
    Preflight,
    StaticFile,
    WebPage,
    Redirect,
    NotFound,
    OtherMethod,
    LongPath,
    NoRoom,
}

impl Reason {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NoResponse => "no response",
            Self::CutOff => "cut off",
            Self::Preflight => "CORS preflight",
            Self::StaticFile => "static file",
            Self::WebPage => "web page",
            Self::Redirect => "redirect of a web page",
            Self::NotFound => "nothing but 404, 405 or 410 at this path and method",
            Self::OtherMethod => "method that OpenAPI has no operation for",
            Self::LongPath => "path of more than 32 segments or 4096 bytes",
            Self::NoRoom => "more paths or operations than are described",
        }
    }
}

/// The use of an exchange for the document, by its heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It proves that an endpoint exists.
    Endpoint,
    /// It is described if other exchanges prove that the endpoint exists.
    Refusal(Reason),
    Omitted(Reason),
}

impl Role {
    /// Returns the role of `trace`. `is_page` returns true if its response body is an HTML document; it is called for HTML alone.
    pub(super) fn of<E>(trace: &Trace, is_page: impl FnOnce() -> Result<bool, E>) -> Result<Self, E> {
        let (request, response) = (&trace.request, &trace.response);
        let media_type = media_type(&response.headers);
        let is_get = matches!(request.method.as_str(), "GET" | "HEAD");
        let is_ok = (200..300).contains(&response.status);
        let is_html = media_type == "text/html" || media_type == "application/xhtml+xml";
        let has_credentials = first(&request.headers, "authorization").is_some();
        // A stream of events or messages usually ends with the capture.
        let is_stream =
            media_type == "text/event-stream" || media_type.starts_with("application/grpc") || response.status == 101;
        Ok(match response.status {
            0 => Self::Omitted(Reason::NoResponse),
            _ if trace.cut_off.is_some() && !is_stream => Self::Omitted(Reason::CutOff),
            _ if request.method == "OPTIONS" && first(&request.headers, "access-control-request-method").is_some() => {
                Self::Omitted(Reason::Preflight)
            }
            404 | 405 | 410 => Self::Refusal(Reason::NotFound),
            300..=399 if is_html => Self::Refusal(Reason::Redirect),
            _ if is_get && is_ok && !has_credentials && is_asset(&media_type) => Self::Omitted(Reason::StaticFile),
            _ if is_get && is_asset_path(&request.url) && !media_type.contains("json") => {
                Self::Omitted(Reason::StaticFile)
            }
            _ if is_get && is_ok && is_html && is_page()? => Self::Omitted(Reason::WebPage),
            _ => Self::Endpoint,
        })
    }
}

/// True for the beginning of an HTML document.
pub(super) fn is_html_document(body: &[u8]) -> bool {
    let start = body.get(..body.len().min(1024)).unwrap_or_default();
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| text.contains(tag))
}

fn is_asset(media_type: &str) -> bool {
    let (kind, subtype) = media_type.split_once('/').unwrap_or_default();
    matches!(kind, "image" | "font" | "video" | "audio")
        || matches!(
            subtype,
            "css" | "javascript" | "x-javascript" | "ecmascript" | "wasm" | "manifest+json" | "font-woff"
        )
}

fn is_asset_path(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    extension.is_some_and(|extension| ASSET_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// The exchanges that are left out.
#[derive(Debug, Default)]
pub(super) struct Omissions {
    /// By reason: their number, and the first ids.
    all: Vec<(Reason, u64, Vec<String>)>,
}

impl Omissions {
    pub(super) fn add(&mut self, reason: Reason, id: &str) {
        let at = match self.all.binary_search_by_key(&reason, |(known, ..)| *known) {
            Ok(at) => at,
            Err(at) => {
                self.all.insert(at, (reason, 0, Vec::new()));
                at
            }
        };
        if let Some((_, count, ids)) = self.all.get_mut(at) {
            *count += 1;
            if ids.len() < MAX_IDS {
                ids.push(id.to_owned());
            }
        }
    }

    /// Returns the value of `x-omitted`.
    pub(super) fn describe(&self) -> Json {
        let describe = |(reason, count, ids): &(Reason, u64, Vec<String>)| {
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            Object::default().with("reason", reason.text()).with("exchanges", *count).with("first", ids)
        };
        Json::Array(self.all.iter().map(describe).map(Json::from).collect())
    }

    pub(super) fn to_public(&self) -> Vec<Omitted> {
        self.all.iter().map(|(reason, count, _)| Omitted { reason: reason.text(), count: *count }).collect()
    }
}

/// Enough to look at, without a list of the capture.
const MAX_IDS: usize = 10;

const ASSET_EXTENSIONS: [&str; 25] = [
    "js",
    "mjs",
    "css",
    "map",
    "png",
    "jpg",
    "jpeg",
    "gif",
    "svg",
    "ico",
    "webp",
    "avif",
    "bmp",
    "woff",
    "woff2",
    "ttf",
    "otf",
    "eot",
    "wasm",
    "mp4",
    "webm",
    "mp3",
    "webmanifest",
    "scss",
    "less",
];
