//! Keys of a provider's own prices: rates by class, a fee for each request, a factor and a place.

use super::key::KeyDefault::{Absent, Derived};
use super::key::KeyKind::{Amount, String};
use super::key::{KeyReference, key};

/// Rates and the fee for a request.
pub(super) const PRICE: &[KeyReference] = &RATES;

/// Prices of some models: rates, a factor and a place.
pub(super) const MODEL_PRICE: &[KeyReference] = &with_factor_and_place(RATES);

const RATES: [KeyReference; 14] = [
    key(
        "input",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of input tokens.",
    ),
    key(
        "output",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of output tokens.",
    ),
    key(
        "cache_read",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of input read from a cache; else `input`.",
    ),
    key(
        "cache_write",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of input written to a cache for the shortest lifetime; else `input`.",
    ),
    key(
        "cache_write_1h",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of input written for an hour; else `cache_write`.",
    ),
    key(
        "cache_write_12h",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of input written for 12 hours; else `cache_write_1h`.",
    ),
    key(
        "reasoning",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of reasoning tokens; else `output`.",
    ),
    key(
        "audio_in",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of sound in the input; else `input`.",
    ),
    key(
        "audio_cached",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of cached sound; else `cache_read`.",
    ),
    key(
        "audio_out",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of sound in the output; else `output`.",
    ),
    key(
        "image_in",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of images in the input; else `input`.",
    ),
    key(
        "image_cached",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of cached images; else `cache_read`.",
    ),
    key(
        "image_out",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of images in the output; else `output`.",
    ),
    key(
        "per_request",
        Amount,
        Absent,
        "USD",
        "Fee for each request, beside its tokens.",
    ),
];

const fn with_factor_and_place(rates: [KeyReference; 14]) -> [KeyReference; 16] {
    let mut keys = [PLACE; 16];
    let mut at = 0;
    while at < rates.len() {
        keys[at] = rates[at];
        at += 1;
    }
    keys[at] = FACTOR;
    keys
}

const FACTOR: KeyReference = key(
    "factor",
    Amount,
    Absent,
    "",
    "Discount or surcharge on all token rates, such as `\"0.85\"`; alone, on those of `price`.",
);

const PLACE: KeyReference = key(
    "place",
    String,
    Derived("region of Bedrock, data residency of OpenAI's host"),
    "",
    "Place whose list prices apply, such as the data zone `eu` of an Azure deployment.",
);
