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
            Self::OtherMethod => "method without an operation in OpenAPI",
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
            // The answer to HEAD has no body to look at.
            _ if is_get && is_ok && is_html && (request.method == "HEAD" || is_page()?) => {
                Self::Omitted(Reason::WebPage)
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::format::CutOff;
    use crate::tools::export::openapi::testing::{headers, value};
    use serde_json::json;

    const JSON: &str = "content-type: application/json";
    const HTML: &str = "content-type: text/html; charset=utf-8";

    /// An exchange: `GET /path 200`, and the header fields of the request and the response.
    fn trace(line: &str, request: &str, response: &str) -> Trace {
        let words: Vec<_> = line.split(' ').collect();
        let [method, target, status] = words[..] else { panic!("{line}") };
        let mut trace = Trace::default();
        trace.request.method = method.into();
        trace.request.url = ["https://a.example", target].concat();
        trace.request.headers = headers(request);
        trace.response.status = status.parse().unwrap();
        trace.response.headers = headers(response);
        trace
    }

    /// Returns the role; HTML is a page.
    fn role(trace: &Trace) -> Role {
        Role::of(trace, || Ok::<_, ()>(true)).unwrap()
    }

    #[track_caller]
    fn check(line: &str, response: &str, expected: Role) {
        assert_eq!(role(&trace(line, "", response)), expected, "{line} {response}");
    }

    #[test]
    fn calls_prove_an_endpoint() {
        for line in [
            "GET /users 200",
            "POST /users 201",
            "GET /users 500",
            "DELETE /users/1 204",
            "GET /users 304",
            "GET /x 403",
        ] {
            check(line, JSON, Role::Endpoint);
        }
        check("GET /health 200", "", Role::Endpoint);
        check("POST /form 200", HTML, Role::Endpoint);
        check("OPTIONS /users 204", "", Role::Endpoint);
        check("POST /upload.png 200", "content-type: image/png", Role::Endpoint);
    }

    #[test]
    fn an_exchange_without_a_response_is_omitted() {
        check("GET /users 0", "", Role::Omitted(Reason::NoResponse));
    }

    #[test]
    fn an_exchange_that_was_cut_off_is_omitted_unless_it_is_a_stream() {
        for (line, media_type, expected) in [
            ("GET /users 200", "application/json", Role::Omitted(Reason::CutOff)),
            ("GET /users 404", "application/json", Role::Omitted(Reason::CutOff)),
            ("GET /events 200", "text/event-stream", Role::Endpoint),
            ("POST /a.B/C 200", "application/grpc+proto", Role::Endpoint),
            ("GET /chat 101", "", Role::Endpoint),
        ] {
            let mut trace = trace(line, "", &["content-type: ", media_type].concat());
            trace.cut_off = Some(CutOff { side: "response".into(), why: "stopped".into() });
            assert_eq!(role(&trace), expected, "{line}");
        }
    }

    #[test]
    fn preflights_are_omitted() {
        let preflight = trace("OPTIONS /users 204", "Access-Control-Request-Method: PUT", "");
        assert_eq!(role(&preflight), Role::Omitted(Reason::Preflight));
    }

    #[test]
    fn refusals_and_redirects_of_pages_prove_nothing() {
        for status in [404, 405, 410] {
            check(&format!("GET /a {status}"), JSON, Role::Refusal(Reason::NotFound));
            check(&format!("GET /a.css {status}"), HTML, Role::Refusal(Reason::NotFound));
        }
        check("GET /a 302", HTML, Role::Refusal(Reason::Redirect));
        check("GET /a 302", "", Role::Endpoint);
    }

    #[test]
    fn static_files_are_omitted_by_media_type_or_extension() {
        for media_type in
            ["image/png", "font/woff2", "text/css", "application/javascript", "application/wasm", "video/mp4"]
        {
            check("GET /a 200", &["content-type: ", media_type].concat(), Role::Omitted(Reason::StaticFile));
        }
        for path in ["/app.js", "/a/Logo.PNG?v=1", "/a.map", "/x.css#y"] {
            check(&format!("GET {path} 200"), "", Role::Omitted(Reason::StaticFile));
            check(&format!("GET {path} 304"), "", Role::Omitted(Reason::StaticFile));
            check(&format!("GET {path} 200"), JSON, Role::Endpoint);
        }
        for path in ["/users?file=a.css", "/a.js/b", "/users.json", "/js", "/v1.2"] {
            check(&format!("GET {path} 200"), JSON, Role::Endpoint);
            check(&format!("GET {path} 200"), "", Role::Endpoint);
        }
        // An image behind a login is an answer of an API.
        let avatar = trace("GET /avatars/1 200", "Authorization: Bearer x", "content-type: image/png");
        assert_eq!(role(&avatar), Role::Endpoint);
    }

    #[test]
    fn web_pages_are_omitted_by_their_content() {
        check("GET / 200", HTML, Role::Omitted(Reason::WebPage));
        check("GET / 200", "content-type: application/xhtml+xml", Role::Omitted(Reason::WebPage));
        check("GET / 500", HTML, Role::Endpoint);
        let part = trace("GET /part 200", "", HTML);
        assert_eq!(Role::of(&part, || Ok::<_, ()>(false)), Ok(Role::Endpoint), "a part of a page");
        assert_eq!(Role::of(&trace("GET /a 200", "", JSON), || Err(())), Ok(Role::Endpoint), "JSON is not read");
        let head = trace("HEAD / 200", "", HTML);
        assert_eq!(Role::of(&head, || Err(())), Ok(Role::Omitted(Reason::WebPage)), "there is no body to read");
    }

    #[test]
    fn documents_begin_with_a_tag_of_a_page() {
        for (body, expected) in [
            ("<!DOCTYPE html><html>", true),
            ("\u{feff}\n<!-- a -->\n<HTML lang=en>", true),
            ("<head>", true),
            ("<li>an element</li>", false),
            ("OK", false),
            ("", false),
            (&*[&" ".repeat(2000), "<html>"].concat(), false),
        ] {
            assert_eq!(is_html_document(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn omissions_are_counted_with_their_first_ids() {
        let mut omissions = Omissions::default();
        (0..20).for_each(|n| omissions.add(Reason::StaticFile, &format!("t_{n:04}")));
        omissions.add(Reason::NoResponse, "t_0020");
        let first: Vec<_> = (0..MAX_IDS).map(|n| format!("t_{n:04}")).collect();
        let expected = json!([
            {"reason": "no response", "exchanges": 1, "first": ["t_0020"]},
            {"reason": "static file", "exchanges": 20, "first": first},
        ]);
        assert_eq!(value(&omissions.describe()), expected);
        let public: Vec<_> = omissions.to_public().into_iter().map(|omitted| (omitted.reason, omitted.count)).collect();
        assert_eq!(public, [("no response", 1), ("static file", 20)]);
    }
}
