//! A bundle that can be shown to others: values that are secret are replaced by placeholders.
//!
//! ```text
//! Authorization: Bearer eyJhb…    ─▶  Authorization: Bearer redacted-5b1c0e7f33a9
//! Cookie: id=7; theme=dark        ─▶  Cookie: id=redacted-0f8e…; theme=redacted-91c4…
//! GET /?token=7 (--query token)   ─▶  GET /?token=redacted-0f8e…      equal values stay equal
//! {"token":"7"} (--json token)    ─▶  {"token":"redacted-0f8e…"}
//! ```
//!
//! What is replaced is counted, and what could not be searched is counted too: nothing else is promised. A secret that stands
//! somewhere else under another name stays there.
//!
//! A placeholder is a hash of the value under a key that this run alone has, and forgets: whoever has the new bundle cannot try
//! values out. Two runs give one value two placeholders.

use super::rewriter::{Content, Rewriter, new_manifest};
use crate::bundle::reader::{Bundle, Header, Manifest, Message, Trace};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

pub use super::rewriter::Error;

mod json;
mod pairs;

/// What to replace besides the values of Authorization, Proxy-Authorization, Cookie and Set-Cookie. Names mean the same in
/// upper and lower case.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rules {
    /// Header fields, whose whole values go.
    pub headers: Vec<String>,
    /// Parameters in URLs, wherever a URL stands: the request, its headers, textual bodies; and in forms.
    pub query: Vec<String>,
    /// Members of JSON in textual bodies and WebSocket messages, with all that is in them; and fields of forms.
    pub json: Vec<String>,
    /// Keep bodies that cannot be searched since a coding is still on them. By default they go, if there is anything to
    /// search bodies for.
    pub keep_coded: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redacted {
    /// The new bundle.
    pub output: PathBuf,
    /// Values of header fields that were replaced.
    pub headers: u64,
    /// Values of cookies.
    pub cookies: u64,
    /// Values of parameters in URLs, and of fields in forms.
    pub parameters: u64,
    /// Values in JSON.
    pub json: u64,
    /// Bodies that a coding was still on: left out, or kept unsearched if the rules say so.
    pub coded: u64,
    /// Bodies and messages that are no text, and were not searched.
    pub binary: u64,
}

/// Makes the bundle `output` of `bundle` by `rules`. One that is there is kept as `.bak`.
///
/// # Errors
/// If the one cannot be read, or the other not be written; then nothing has changed.
pub fn redact(bundle: &Path, output: &Path, rules: &Rules) -> Result<Redacted, Error> {
    let mut work = Work { rules: Names::of(rules), placeholders: RandomState::new(), counts: Redacted::default() };
    let (output, _) = Rewriter::make(output, &[bundle], |rewriter| {
        let bundle = Bundle::open(bundle)?;
        work.all(&bundle, rewriter)?;
        let old = bundle.manifest().clone();
        Ok(Manifest {
            created_at: old.created_at,
            duration_ms: old.duration_ms,
            browser: old.browser,
            extension_version: old.extension_version,
            capture_method: old.capture_method,
            ..new_manifest()
        })
    })?;
    Ok(Redacted { output, ..work.counts })
}

/// The rules, names in lower case.
struct Names {
    headers: Vec<String>,
    query: Vec<String>,
    json: Vec<String>,
    /// Fields of forms go by either kind of name.
    fields: Vec<String>,
    keep_coded: bool,
}

impl Names {
    fn of(rules: &Rules) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>();
        let (query, json) = (lower(&rules.query), lower(&rules.json));
        let fields = [query.clone(), json.clone()].concat();
        Self { headers: lower(&rules.headers), query, json, fields, keep_coded: rules.keep_coded }
    }

    fn search_bodies(&self) -> bool {
        !self.fields.is_empty()
    }

    fn is_header(&self, name: &str) -> bool {
        self.headers.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The work under way.
struct Work {
    rules: Names,
    placeholders: RandomState,
    counts: Redacted,
}

impl Work {
    fn all(&mut self, bundle: &Bundle, rewriter: &mut Rewriter) -> Result<(), Error> {
        for id in bundle.contexts().iter() {
            let context = bundle.context(id)?;
            rewriter.context(&self.context(context))?;
        }
        for id in bundle.traces().iter() {
            let trace = bundle.trace(id)?;
            let (trace, bodies) = self.trace(bundle, trace)?;
            rewriter.trace(bundle, &trace, bodies)?;
        }
        for id in bundle.websockets().iter() {
            let mut socket = bundle.websocket(id)?;
            socket.url = self.url(&socket.url);
            if self.rules.is_header("sec-websocket-protocol") {
                socket.protocols.iter_mut().for_each(|protocol| *protocol = placeholder(&self.placeholders, protocol));
            }
            rewriter.socket(&socket)?;
            for id in bundle.messages(id).iter() {
                let message = bundle.message(id)?;
                let (message, payload) = self.message(bundle, message)?;
                rewriter.message(bundle, &message, payload)?;
            }
        }
        Ok(())
    }

    fn message(&mut self, bundle: &Bundle, mut message: Message) -> Result<(Message, Content), Error> {
        let Some(file) = message.payload_file.clone() else { return Ok((message, Content::Empty)) };
        if !self.rules.search_bodies() {
            return Ok((message, Content::Same(file)));
        }
        let payload = bundle.payload(&message)?;
        let content = match self.text(&payload, "") {
            Some(new) => {
                message.payload_size = new.len() as u64;
                Content::New(new)
            }
            None => Content::Same(file),
        };
        Ok((message, content))
    }

    fn trace(&mut self, bundle: &Bundle, mut trace: Trace) -> Result<(Trace, [Content; 2]), Error> {
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        if self.rules.search_bodies() {
            (sent, received) = (bundle.request_body(&trace)?, bundle.response_body(&trace)?);
        }
        let (request, response) = (&mut trace.request, &mut trace.response);
        let bodies = [
            self.body(
                &sent,
                &request.headers,
                [&mut request.body_file, &mut request.body_encoding],
                &mut request.body_size,
            ),
            self.body(
                &received,
                &response.headers,
                [&mut response.body_file, &mut response.body_encoding],
                &mut response.body_size,
            ),
        ];
        request.url = self.url(&request.url);
        [&mut request.headers, &mut response.headers].into_iter().flatten().for_each(|header| self.header(header));
        if let Some(url) = &mut trace.initiator.url {
            *url = self.url(url);
        }
        Ok((trace, bodies))
    }

    /// The new body; what names it and its size become the new ones.
    fn body(
        &mut self,
        bytes: &[u8],
        headers: &[Header],
        [file, coding]: [&mut Option<String>; 2],
        size: &mut u64,
    ) -> Content {
        let Some(name) = file.clone() else { return Content::Empty };
        if !self.rules.search_bodies() {
            return Content::Same(name);
        }
        if coding.is_some() {
            self.counts.coded = self.counts.coded.saturating_add(1);
            if self.rules.keep_coded {
                return Content::Same(name);
            }
            (*file, *coding, *size) = (None, None, 0);
            return Content::Empty;
        }
        let media_type = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
        match self.text(bytes, media_type.map_or("", |header| &header.value)) {
            Some(new) => {
                *size = new.len() as u64;
                if new.is_empty() {
                    *file = None;
                    return Content::Empty;
                }
                Content::New(new)
            }
            None => Content::Same(name),
        }
    }

    /// `bytes` with what is secret replaced, if anything is.
    fn text(&mut self, bytes: &[u8], media_type: &str) -> Option<Vec<u8>> {
        if !self.rules.search_bodies() || bytes.is_empty() {
            return None;
        }
        if let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')) {
            return self.searched(text, media_type).map(String::into_bytes);
        }
        let is_text = ["text/", "application/json", "application/x-www-form-urlencoded"];
        if !is_text.iter().any(|kind| media_type.to_ascii_lowercase().starts_with(kind)) {
            self.counts.binary = self.counts.binary.saturating_add(1);
            return None;
        }
        // Another character set, in which names are ASCII all the same: each byte is a character, there and back.
        let text: String = bytes.iter().copied().map(char::from).collect();
        let new = self.searched(&text, media_type)?;
        Some(new.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect())
    }

    fn searched(&mut self, text: &str, media_type: &str) -> Option<String> {
        let media_type = media_type.to_ascii_lowercase();
        let Self { rules, placeholders, counts } = self;
        let hide = hidden(placeholders);
        let mut new = None;
        let is = |kind| media_type.starts_with(kind);
        if is("application/x-www-form-urlencoded") {
            counted(&mut counts.parameters, &mut new, pairs::form(text, &rules.fields, &hide));
        } else if is("multipart/form-data") {
            counted(&mut counts.parameters, &mut new, pairs::multipart(text, &rules.fields, &hide));
        }
        let made = json::members(new.as_deref().unwrap_or(text), &rules.json, placeholders);
        counted(&mut counts.json, &mut new, made);
        let made = pairs::in_text(new.as_deref().unwrap_or(text), &rules.query, &hide);
        counted(&mut counts.parameters, &mut new, made);
        new
    }

    fn header(&mut self, header: &mut Header) {
        let name = header.name.to_ascii_lowercase();
        match name.as_str() {
            _ if header.value.is_empty() => {}
            _ if self.rules.is_header(&name) => {
                self.counts.headers = self.counts.headers.saturating_add(1);
                header.value = self.placeholder(&header.value);
            }
            "authorization" | "proxy-authorization" => {
                self.counts.headers = self.counts.headers.saturating_add(1);
                // The scheme says how the app proves who it is, which is no secret (RFC 9110 section 11.6.2).
                header.value = match header.value.split_once(' ') {
                    Some((scheme, credentials)) => format!("{scheme} {}", self.placeholder(credentials.trim())),
                    None => self.placeholder(&header.value),
                };
            }
            "cookie" => {
                let cookies: Vec<_> = header.value.split(';').map(|cookie| self.cookie(cookie)).collect();
                header.value = cookies.join(";");
            }
            "set-cookie" => {
                let (cookie, attributes) = match header.value.split_once(';') {
                    Some((cookie, attributes)) => (cookie, Some(attributes)),
                    None => (header.value.as_str(), None),
                };
                let cookie = self.cookie(cookie);
                header.value = attributes.map_or(cookie.clone(), |attributes| format!("{cookie};{attributes}"));
            }
            "referer" | "location" | "content-location" | "origin" => header.value = self.url(&header.value),
            _ => {
                let made = pairs::in_text(&header.value, &self.rules.query, &hidden(&self.placeholders));
                if let Some(pairs::Replaced { text, values }) = made {
                    self.counts.parameters = self.counts.parameters.saturating_add(values);
                    header.value = text;
                }
            }
        }
    }

    /// `name=value` with another value; one without a name is all value.
    fn cookie(&mut self, cookie: &str) -> String {
        let (name, value) = cookie.split_once('=').map_or(("", cookie), |(name, value)| (name, value));
        let (blank, bare) = value.split_at(value.len().saturating_sub(value.trim_start().len()));
        if bare.is_empty() {
            return cookie.to_owned();
        }
        self.counts.cookies = self.counts.cookies.saturating_add(1);
        let equals = if cookie.contains('=') { "=" } else { "" };
        format!("{name}{equals}{blank}{}", self.placeholder(bare.trim()))
    }

    fn url(&mut self, url: &str) -> String {
        match pairs::url(url, &self.rules.query, &hidden(&self.placeholders)) {
            Some(pairs::Replaced { text, values }) => {
                self.counts.parameters = self.counts.parameters.saturating_add(values);
                text
            }
            None => url.to_owned(),
        }
    }

    fn context(&mut self, mut context: crate::bundle::format::Context) -> crate::bundle::format::Context {
        let Ok(text) = serde_json::to_string(&context.rest) else { return context };
        if self.rules.search_bodies()
            && let Some(new) = self.searched(&text, "application/json")
            && let Ok(rest) = serde_json::from_str(&new)
        {
            context.rest = rest;
        }
        context
    }

    fn placeholder(&self, value: &str) -> String {
        placeholder(&self.placeholders, value)
    }
}

/// Takes over what was made, if anything was.
fn counted(count: &mut u64, text: &mut Option<String>, made: Option<pairs::Replaced>) {
    if let Some(made) = made {
        *count = count.saturating_add(made.values);
        *text = Some(made.text);
    }
}

/// Stands for `value`.
fn placeholder(placeholders: &RandomState, value: &str) -> String {
    format!("redacted-{:012x}", placeholders.hash_one(value) & 0xffff_ffff_ffff)
}

fn hidden(placeholders: &RandomState) -> impl Fn(&str) -> String {
    move |value| placeholder(placeholders, value)
}

#[cfg(test)]
mod tests;
