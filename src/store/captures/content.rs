//! Content of a captured call, and its bytes before they are sealed.

use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};

/// Request and response of a call, as the client sent and received them; media above a size are replaced by their hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedCall {
    pub status: u16,
    pub is_stream: bool,
    /// the response reached its end
    pub is_complete: bool,
    /// media replaced by their hash
    pub media: u32,
    pub request: Vec<u8>,
    pub response: Vec<u8>,
}

/// A stored call with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCapture {
    pub request: RequestId,
    pub organization: OrganizationId,
    pub team: TeamId,
    pub key: KeyId,
    /// instant of the end of the call
    pub at_ms: u64,
    pub expires_ms: u64,
    pub call: CapturedCall,
}

/// Status, flags, media, length of the request.
const HEAD_BYTES: usize = 2 + 1 + 4 + 4;
const STREAM: u8 = 1;
const COMPLETE: u8 = 2;

impl CapturedCall {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.request.len() + self.response.len());
        bytes.extend(self.status.to_le_bytes());
        let stream = if self.is_stream { STREAM } else { 0 };
        bytes.push(stream | if self.is_complete { COMPLETE } else { 0 });
        bytes.extend(self.media.to_le_bytes());
        bytes.extend((self.request.len() as u32).to_le_bytes());
        bytes.extend(&self.request);
        bytes.extend(&self.response);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<CapturedCall> {
        let (status, bytes) = bytes.split_first_chunk::<2>()?;
        let (flags, bytes) = bytes.split_first()?;
        let (media, bytes) = bytes.split_first_chunk::<4>()?;
        let (length, bytes) = bytes.split_first_chunk::<4>()?;
        let (request, response) = bytes.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some(CapturedCall {
            status: u16::from_le_bytes(*status),
            is_stream: flags & STREAM != 0,
            is_complete: flags & COMPLETE != 0,
            media: u32::from_le_bytes(*media),
            request: request.to_vec(),
            response: response.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_call_round_trips_and_a_cut_one_is_refused() {
        let call = CapturedCall {
            status: 200,
            is_stream: true,
            is_complete: false,
            media: 3,
            request: b"{\"a\":1}".to_vec(),
            response: b"data: x\n\n".to_vec(),
        };
        let bytes = call.encode();
        assert_eq!(CapturedCall::decode(&bytes), Some(call));
        for length in 0..HEAD_BYTES + 7 {
            assert_eq!(CapturedCall::decode(&bytes[..length]), None, "{length}");
        }
    }
}
