//! Bytes of request bodies in flight: bounded in all and shared fairly between keys. A key may have as many bytes in flight as are
//! free, so one key alone gets half of the bound, two a third each, and a key without any is served. Counts long bodies only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::KeyId;

#[derive(Default)]
struct InFlight {
    all: usize,
    keys: HashMap<KeyId, usize>,
}

pub(super) struct BodyBytes {
    max: usize,
    in_flight: Mutex<InFlight>,
}

impl BodyBytes {
    pub fn new(max: usize) -> BodyBytes {
        BodyBytes {
            max,
            in_flight: Mutex::default(),
        }
    }

    /// Reserves the announced bytes of a body for a key.
    pub fn reserve(
        self: &Arc<Self>,
        key: KeyId,
        bytes: usize,
    ) -> Result<BodyReservation, ApiError> {
        let mut reservation = BodyReservation {
            of: self.clone(),
            key,
            bytes: 0,
        };
        reservation.grow_to(bytes)?;
        Ok(reservation)
    }

    pub fn in_flight(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of one body, counted until dropped.
pub struct BodyReservation {
    of: Arc<BodyBytes>,
    key: KeyId,
    bytes: usize,
}

impl BodyReservation {
    /// Raises the reservation to so many bytes, for a body whose length was not announced.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        let mut in_flight = self.of.lock();
        let of_key = in_flight.keys.get(&self.key).copied().unwrap_or(0);
        let free = self.of.max.saturating_sub(in_flight.all);
        // the first body of a key needs room only
        let fair = of_key == 0 || of_key + more <= free - more.min(free);
        if more > free || !fair {
            let mib = self.of.max >> 20;
            let message = format!(
                "request bodies of {mib} MiB in all are in flight, and this key has its share of them; try again in a moment"
            );
            return Err(ApiError::new(ErrorCode::Overloaded, message).with_retry_after(1));
        }
        in_flight.all += more;
        *in_flight.keys.entry(self.key).or_default() += more;
        drop(in_flight);
        self.bytes = bytes;
        Ok(())
    }

    /// Ties the reservation to the body: it ends with the last reference to its bytes.
    pub fn attach(self, body: Bytes) -> Bytes {
        Bytes::from_owner(ReservedBody {
            body,
            _reservation: self,
        })
    }
}

impl Drop for BodyReservation {
    fn drop(&mut self) {
        let mut in_flight = self.of.lock();
        in_flight.all -= self.bytes;
        if let Some(of_key) = in_flight.keys.get_mut(&self.key) {
            *of_key -= self.bytes;
            if *of_key == 0 {
                in_flight.keys.remove(&self.key);
            }
        }
    }
}

struct ReservedBody {
    body: Bytes,
    _reservation: BodyReservation,
}

impl AsRef<[u8]> for ReservedBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_bytes_are_shared_between_keys_and_freed_with_the_body() {
        let bytes = Arc::new(BodyBytes::new(100));
        let reserve = |key, count| bytes.reserve(KeyId(key), count);
        let greedy: Vec<BodyReservation> = (0..10).filter_map(|_| reserve(1, 10).ok()).collect();
        assert_eq!(greedy.len(), 5, "as much as is free");
        let second = reserve(2, 10).expect("a key without bytes is served");
        assert!(reserve(3, 50).is_err(), "no room");
        let third = reserve(3, 40).expect("room");
        assert!(reserve(4, 1).is_err());
        drop((greedy, second));
        let body = third.attach(Bytes::from_static(b"abc"));
        let part = body.slice(1..);
        drop(body);
        assert_eq!((bytes.in_flight(), part.as_ref()), (40, &b"bc"[..]));
        drop(part);
        assert_eq!(bytes.in_flight(), 0);
        assert!(bytes.lock().keys.is_empty());
    }

    #[test]
    fn body_of_unknown_length_grows_within_its_share() {
        let bytes = Arc::new(BodyBytes::new(100));
        let mut body = bytes.reserve(KeyId(1), 0).expect("nothing yet");
        body.grow_to(30).expect("room");
        body.grow_to(20).expect("less than before");
        assert_eq!(bytes.in_flight(), 30);
        let error = body.grow_to(90).expect_err("beyond the share");
        assert_eq!(
            (error.code, error.retry_after_s),
            (ErrorCode::Overloaded, Some(1))
        );
    }
}
