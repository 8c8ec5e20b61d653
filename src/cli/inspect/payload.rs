//! The payload of a message. A large one is read twice: to check it and see if it is text, and to show it.

use crate::cli::text::escape;
use serde::{Serialize, Serializer};
use spectral_capture::reader::{Body, Bundle, Error, Message};
use spectral_capture::text::{Base64, TextDecoder, as_text};
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::{self, Display, Formatter};

/// A payload that was read and is not damaged.
pub(super) enum Payload<'b> {
    InMemory(Vec<u8>),
    Large(LargePayload<'b>),
}

/// A payload that is read again to show it.
pub(super) struct LargePayload<'b> {
    bundle: &'b Bundle,
    message: &'b Message,
    size: u64,
    is_text: bool,
    /// The first error of the second read. A formatter cannot return it.
    error: RefCell<Option<Error>>,
}

impl<'b> Payload<'b> {
    /// Reads the payload of `message`.
    pub(super) fn read(bundle: &'b Bundle, message: &'b Message) -> Result<Self, Error> {
        let mut body = bundle.open_payload(message)?;
        let size = body.size();
        if size <= MAX_MEMORY_BYTES {
            let mut bytes = Vec::new();
            for_each_block(&mut body, &mut |block| bytes.extend_from_slice(block))?;
            return Ok(Self::InMemory(bytes));
        }
        let (mut decoder, mut is_text) = (TextDecoder::new(), true);
        for_each_block(&mut body, &mut |block| {
            is_text = is_text && decoder.push(block, &mut |_| Ok::<_, Infallible>(())).is_ok_and(|is_text| is_text);
        })?;
        let (is_text, error) = (is_text && decoder.is_complete(), RefCell::default());
        Ok(Self::Large(LargePayload { bundle, message, size, is_text, error }))
    }

    /// Returns it as `form`; `None` if that is a form of text, and it is not text.
    pub(super) fn shown(&self, form: Form) -> Option<Shown<'_>> {
        let is_text = match self {
            Self::InMemory(bytes) => form == Form::Base64 || as_text(bytes).is_some(),
            Self::Large(large) => form == Form::Base64 || large.is_text,
        };
        is_text.then_some(Shown { payload: self, form })
    }

    /// Returns its size in bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::InMemory(bytes) => bytes.len() as u64,
            Self::Large(large) => large.size,
        }
    }

    /// Fails if it could not be read while it was shown.
    pub(super) fn check(self) -> Result<(), Error> {
        match self {
            Self::InMemory(_) => Ok(()),
            Self::Large(large) => large.error.into_inner().map_or(Ok(()), Err),
        }
    }

    fn for_each_block(&self, sink: &mut dyn FnMut(&[u8])) {
        match self {
            Self::InMemory(bytes) => sink(bytes),
            Self::Large(LargePayload { bundle, message, error, .. }) => {
                let read = bundle.open_payload(message).and_then(|mut body| for_each_block(&mut body, sink));
                if let Err(e) = read {
                    error.borrow_mut().get_or_insert(e);
                }
            }
        }
    }
}

fn for_each_block(body: &mut Body<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
    loop {
        match body.next_block()? {
            [] => return Ok(()),
            block => sink(block),
        }
    }
}

/// The form in which a payload is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// Text on one line, without characters that a terminal obeys.
    EscapedText,
    Base64,
}

/// A payload to show.
pub(super) struct Shown<'p> {
    payload: &'p Payload<'p>,
    form: Form,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Base64 is made of three bytes at a time, which may lie across the end of a block.
        let (mut split, mut decoder, mut written) = (Vec::new(), TextDecoder::new(), Ok(()));
        self.payload.for_each_block(&mut |block| {
            if written.is_err() {
                return;
            }
            written = match self.form {
                Form::Text => decoder.push(block, &mut |text| f.write_str(text)).map(drop),
                Form::EscapedText => decoder.push(block, &mut |text| f.write_str(&escape(text))).map(drop),
                Form::Base64 => {
                    split.extend_from_slice(block);
                    let rest = split.split_off(split.len().saturating_sub(split.len() % 3));
                    let whole = std::mem::replace(&mut split, rest);
                    Base64(&whole).fmt(f)
                }
            };
        });
        written?;
        Base64(&split).fmt(f)
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The largest payload that is kept in memory.
const MAX_MEMORY_BYTES: u64 = 1 << 20;
