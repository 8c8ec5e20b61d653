//! One direction of a connection: its frames, its field blocks, and the settings that its sender announced.

use super::frame::{FrameHeader, FrameReader};
use super::head::Fields;
use super::hpack::{HeaderList, HpackDecoder};
use super::settings::Settings;
use super::streams::CompletedStreams;
use crate::wire::tap::{EventSink, Finish, Opaque, TapEvent};
use std::collections::VecDeque;

/// One direction of the connection.
pub(super) struct Http2Direction {
    pub frames: FrameReader,
    pub decoder: HpackDecoder,
    /// The field block that has not ended.
    pub block: Option<FieldBlock>,
    /// The bytes so far of a part of the current frame that is parsed as a whole. At most the size of that part.
    pub part: Vec<u8>,
    /// The settings so far of the current SETTINGS frame.
    pub settings: Settings,
    unacknowledged: UnacknowledgedSettings,
    /// The last stream that the sender of this direction accepts from the other side (GOAWAY).
    pub last_accepted: u32,
    /// The streams that the sender of this direction has completed.
    pub completed: CompletedStreams,
    /// The end of the direction: it ended, or it is opaque.
    pub ended: Option<Finish>,
    /// True once a frame on an idle stream was reported.
    has_reported_idle: bool,
}

/// A field block, which a HEADERS or PUSH_PROMISE frame began and CONTINUATION frames may continue.
pub(super) struct FieldBlock {
    pub stream: u32,
    pub purpose: BlockPurpose,
    pub ends_stream: bool,
    /// The fields so far.
    pub fields: Fields,
}

/// The purpose of a field block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockPurpose {
    /// A request that opens the block's stream.
    Request,
    /// A response or trailers.
    Further,
    /// A request that the origin promises to answer.
    Promise,
    /// Its fields are not reported, but they may change the dynamic table.
    Ignored,
}

/// The settings that are not acknowledged.
enum UnacknowledgedSettings {
    /// The table size in each SETTINGS frame, oldest first. At most [`MAX_UNACKNOWLEDGED_SETTINGS`].
    TableSizes(VecDeque<Option<u32>>),
    /// There were too many: any table size is accepted from here on.
    Unknown,
}

impl Http2Direction {
    pub(super) fn new() -> Self {
        Self {
            frames: FrameReader::new(),
            decoder: HpackDecoder::new(),
            block: None,
            part: Vec::new(),
            settings: Settings::default(),
            unacknowledged: UnacknowledgedSettings::TableSizes(VecDeque::new()),
            last_accepted: u32::MAX,
            completed: CompletedStreams::default(),
            ended: None,
            has_reported_idle: false,
        }
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        let unacknowledged = match &self.unacknowledged {
            UnacknowledgedSettings::TableSizes(sizes) => sizes.capacity().saturating_mul(size_of::<Option<u32>>()),
            UnacknowledgedSettings::Unknown => 0,
        };
        let block = self.block.as_ref().map_or(0, |block| block.fields.memory_bytes());
        let parts =
            [self.decoder.memory_bytes(), block, self.part.capacity(), unacknowledged, self.completed.memory_bytes()];
        parts.into_iter().fold(0, usize::saturating_add)
    }

    /// Returns true if the direction cannot be parsed.
    pub(super) fn is_opaque(&self) -> bool {
        matches!(self.ended, Some(Finish::Opaque(_)))
    }

    /// Moves bytes from the start of `piece` to the current part until it has `len` bytes. Returns true once it has.
    pub(super) fn fill_part(&mut self, piece: &mut &[u8], len: usize) -> bool {
        let missing = len.saturating_sub(self.part.len());
        let (taken, rest) = piece.split_at_checked(missing).unwrap_or((piece, &[]));
        self.part.extend_from_slice(taken);
        *piece = rest;
        self.part.len() >= len
    }

    /// Decodes a piece of the current field block.
    pub(super) fn decode(&mut self, piece: &[u8]) -> Result<(), Opaque> {
        if let Some(block) = &mut self.block {
            let is_ignored = block.purpose == BlockPurpose::Ignored;
            let mut add = |name: &[u8], value: &[u8]| {
                if !is_ignored {
                    block.fields.add(name, value);
                }
            };
            self.decoder.decode(piece, &mut add).map_err(|_| Opaque::Hpack)?;
        }
        Ok(())
    }

    /// Ends the current field block if `frame` is its last one.
    pub(super) fn end_block(&mut self, frame: FrameHeader) -> Result<Option<(FieldBlock, HeaderList)>, Opaque> {
        if !frame.ends_block() {
            return Ok(None);
        }
        let list = self.decoder.end_block().map_err(|_| Opaque::Hpack)?;
        Ok(self.block.take().map(|block| (block, list)))
    }

    /// Processes a complete setting of a SETTINGS frame.
    pub(super) fn end_setting(&mut self) {
        if let Some(setting) = self.part.first_chunk() {
            self.settings.add(*setting);
        }
        self.part.clear();
    }

    /// Processes the end of a SETTINGS frame, which limits the `opposite` direction.
    pub(super) fn end_settings(&mut self, opposite: &mut Self) {
        let settings = std::mem::take(&mut self.settings);
        settings.max_frame_size.into_iter().for_each(|size| opposite.frames.set_max_size(size));
        match &mut self.unacknowledged {
            UnacknowledgedSettings::TableSizes(sizes) if sizes.len() < MAX_UNACKNOWLEDGED_SETTINGS => {
                sizes.push_back(settings.table_size);
            }
            unacknowledged => {
                *unacknowledged = UnacknowledgedSettings::Unknown;
                opposite.decoder.set_max_table_size(u32::MAX);
            }
        }
    }

    /// Processes the acknowledgement of the oldest settings of this direction: they apply to the `opposite` direction now.
    pub(super) fn acknowledge_settings(&mut self, opposite: &mut Self) {
        if let UnacknowledgedSettings::TableSizes(sizes) = &mut self.unacknowledged
            && let Some(Some(size)) = sizes.pop_front()
        {
            opposite.decoder.set_max_table_size(size);
        }
    }

    /// Reports a frame on an idle stream (section 5.1). Only the first one of a direction is reported.
    pub(super) fn report_idle(&mut self, out: EventSink<'_>) {
        if !std::mem::replace(&mut self.has_reported_idle, true) {
            out(TapEvent::Opaque { cause: Opaque::Misplaced });
        }
    }
}

/// The largest number of unacknowledged SETTINGS frames (settings flood, CVE-2019-9515).
const MAX_UNACKNOWLEDGED_SETTINGS: usize = 1000;
