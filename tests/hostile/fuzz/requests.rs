//! Mutated requests through the binary: each is answered in the client's dialect, none with a defect, and what arrives at a vendor is
//! JSON without repeated members.

use serde::de::{MapAccess, Visitor};

use super::corpus;
use super::mutator::Mutator;
use super::vendors::{PATHS, Vendors, assert_answered, assert_no_defect};
use super::{seed, sent};

#[test]
fn mutated_request_gets_an_answer_of_its_dialect_and_no_defect() {
    let vendors = Vendors::start(seed(), false);
    let mut gatekeeper = vendors.gateway();
    let team = gatekeeper.team_with_budget("fuzz", "1000000");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    for (path, models) in PATHS {
        let corpus: Vec<Vec<u8>> = models
            .iter()
            .flat_map(|model| [true, false].map(|streamed| corpus::requests(path, model, streamed)))
            .flatten()
            .collect();
        let mut mutator = Mutator::new(seed(), &corpus);
        let mut served = 0;
        for _ in 0..sent() {
            let valid = mutator.pick(&corpus).clone();
            let message = mutator.json(&valid);
            let answer = user.post_bytes(path, &message);
            served += usize::from(answer.status == 200);
            assert_answered(path, &message, answer.status, &answer.body);
        }
        assert!(served > 0, "{path}: no request is served");
    }
    for request in vendors.upstream.requests() {
        let path = request.path().to_owned();
        assert!(
            has_unique_members(&request.body),
            "{path}: {:?}",
            String::from_utf8_lossy(&request.body)
        );
    }
    assert_no_defect(&gatekeeper);
}

/// JSON object whose members have different names.
fn has_unique_members(body: &[u8]) -> bool {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = bool;
        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut names = std::collections::HashSet::new();
            let mut are_unique = true;
            while let Some(name) = map.next_key::<String>()? {
                map.next_value::<serde::de::IgnoredAny>()?;
                are_unique &= names.insert(name);
            }
            Ok(are_unique)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde::Deserializer::deserialize_map(&mut reader, Names).unwrap_or(false)
}
