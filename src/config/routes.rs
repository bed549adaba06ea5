//! The `[routes.NAME]` sections and `aliases`: takes each as written, returns routes with their policies or reports every error. It knows
//! no provider and no price: the route table resolves the targets.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::api_keys;
use super::cache;
use super::file::{ConfigErrors, Section, Spanned, type_name};
use super::mirror::{self, MirrorConfig};
use super::timeouts::CallTimeouts;
use crate::domain::attempt::{FailureClass, FailureClasses};
use crate::domain::cache::CachePolicy;
use crate::domain::provider_key::DeploymentLimits;

const ROUTES_MAX: usize = 1_000;
const TARGETS_MAX: usize = 100;
const FALLBACKS_MAX: usize = 20;
const ALIASES_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 200;
const WEIGHT_MAX: u64 = 1_000_000;
const STRATEGIES: [(&str, Strategy); 5] = [
    ("weighted", Strategy::Weighted),
    ("ordered", Strategy::Ordered),
    ("least_busy", Strategy::LeastBusy),
    ("fastest", Strategy::Fastest),
    ("cheapest", Strategy::Cheapest),
];

/// Default of `probe_interval_s`.
pub(super) const PROBE_INTERVAL_MS: u64 = 5_000;

/// Names that lead to other names or to several deployments.
#[derive(Clone, Debug)]
pub struct RoutingConfig {
    pub routes: Vec<RouteConfig>,
    /// alias → name of a route or a model
    pub aliases: BTreeMap<String, String>,
    /// time after which a deployment that cools down gets a call as a probe
    pub probe_interval_ms: u64,
}

impl Default for RoutingConfig {
    fn default() -> RoutingConfig {
        RoutingConfig {
            routes: Vec::new(),
            aliases: BTreeMap::new(),
            probe_interval_ms: PROBE_INTERVAL_MS,
        }
    }
}

/// One `[routes.NAME]`.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// may contain one `*`
    pub name: String,
    pub targets: Vec<TargetConfig>,
    pub strategy: Strategy,
    /// a conversation keeps its target
    pub affinity: bool,
    pub retry: RetryPolicy,
    pub timeouts: CallTimeouts,
    /// request parameters that clients leave out, with their JSON
    pub defaults: Vec<(String, String)>,
    /// request parameters that replace the client's, with their JSON
    pub overrides: Vec<(String, String)>,
    pub cache: CachePolicy,
    /// names tried in turn once the targets are used up
    pub fallbacks: Vec<String>,
    /// names tried in turn if the context is too long for a target
    pub context_fallbacks: Vec<String>,
    /// names tried in turn if a target's content filter rejects the request
    pub content_fallbacks: Vec<String>,
    /// copies of requests to another deployment
    pub mirror: Option<MirrorConfig>,
}

/// One target of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetConfig {
    /// `provider/model`, or a model that one provider lists; `*` stands for the part that the route's `*` matched
    pub model: String,
    pub weight: u32,
    /// targets of a higher number are used once those of lower ones are not available
    pub order: u32,
    /// of each deployment behind the target
    pub limits: DeploymentLimits,
    /// before those of the route
    pub timeouts: CallTimeouts,
}

/// Choice among the targets of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// in proportion to the weights
    #[default]
    Weighted,
    /// in the order of the list
    Ordered,
    /// fewest calls in flight per weight
    LeastBusy,
    /// shortest expected time to first content
    Fastest,
    /// lowest ceiling of the request
    Cheapest,
}

impl Strategy {
    pub fn as_str(self) -> &'static str {
        let word = STRATEGIES.iter().find(|(_, strategy)| *strategy == self);
        word.map_or("weighted", |(word, _)| word)
    }
}

/// Bounds of the attempts of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// failures after which another attempt is made
    pub retry_on: FailureClasses,
    /// attempts at targets that were tried before
    pub max_retries: u8,
    pub max_attempts: u8,
}

impl RetryPolicy {
    /// Failures that another attempt, or another target, may mend.
    pub const RETRY_ON: [FailureClass; 8] = [
        FailureClass::RateLimited,
        FailureClass::Overloaded,
        FailureClass::TimedOut,
        FailureClass::ConnectFailed,
        FailureClass::BadCredential,
        FailureClass::QuotaExhausted,
        FailureClass::ModelNotFound,
        FailureClass::Broken,
    ];

    /// Policy of a model that is called by its own name: one attempt.
    pub fn single() -> RetryPolicy {
        RetryPolicy {
            retry_on: FailureClasses::default(),
            max_retries: 0,
            max_attempts: 1,
        }
    }

    /// Policy of a model that is called by its own name at a provider with several API keys: another key is tried where the failure is
    /// the key's own.
    pub fn of_keys() -> RetryPolicy {
        RetryPolicy {
            retry_on: FailureClasses::of(&FailureClass::OF_KEY),
            max_retries: 0,
            ..RetryPolicy::default()
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            retry_on: FailureClasses::of(&RetryPolicy::RETRY_ON),
            max_retries: 2,
            max_attempts: 5,
        }
    }
}

/// Resolves the whole `[routes]` section.
pub(super) fn resolve_all(
    mut section: Section<'_>,
    cache: &CachePolicy,
    errors: &mut ConfigErrors,
) -> Vec<RouteConfig> {
    let sections = section.named_sections(errors);
    if sections.len() > ROUTES_MAX {
        let count = sections.len();
        errors.add(
            "routes",
            format!("{count} routes configured; at most {ROUTES_MAX} are allowed"),
        );
    }
    let resolved = sections
        .into_iter()
        .filter_map(|(name, section)| resolve(name, section, cache, errors));
    resolved.collect()
}

/// Resolves `aliases`.
pub(super) fn resolve_aliases(
    mut section: Section<'_>,
    errors: &mut ConfigErrors,
) -> BTreeMap<String, String> {
    let written = section.named_strings(errors);
    if let Some((_, first)) = written.get(ALIASES_MAX) {
        first.report(
            errors,
            format_args!("at most {ALIASES_MAX} aliases are allowed"),
        );
    }
    let mut aliases = BTreeMap::new();
    for (alias, target) in written {
        if alias.contains('*') {
            target.report(errors, "`*` in an alias; use a route for patterns");
        }
        if let Some(name) = target.parse(errors, |name| parse_name(name)) {
            aliases.insert(alias, name);
        }
    }
    aliases
}

fn resolve(
    name: Spanned<String>,
    mut section: Section<'_>,
    cache: &CachePolicy,
    errors: &mut ConfigErrors,
) -> Option<RouteConfig> {
    let valid_name = name.clone().parse(errors, |name| parse_pattern(name));
    let written = section.take("targets");
    let targets = match written {
        Some(written) => targets(&section, written, errors),
        None => {
            name.report(
                errors,
                "missing targets; write targets = [\"provider/model\", …]",
            );
            Vec::new()
        }
    };
    let strategy = section.choice("strategy", Strategy::default(), &STRATEGIES, errors);
    let default = RetryPolicy::default();
    let retry = RetryPolicy {
        retry_on: retry_on(&mut section, errors),
        max_retries: section.integer("max_retries", default.max_retries.into(), 0..=10, errors)
            as u8,
        max_attempts: section.integer("max_attempts", default.max_attempts.into(), 1..=20, errors)
            as u8,
    };
    let affinity = section.choice(
        "affinity",
        false,
        &[("off", false), ("cache_key", true)],
        errors,
    );
    let timeouts = CallTimeouts::take(&mut section, errors);
    let defaults = parameters("defaults", &mut section, errors);
    let overrides = parameters("override", &mut section, errors);
    let cache = cache::of_route(&mut section, cache, errors);
    let mut names = |key| fallback_names(section.strings(key, errors), errors);
    let (fallbacks, context_fallbacks, content_fallbacks) = (
        names("fallbacks"),
        names("context_fallbacks"),
        names("content_fallbacks"),
    );
    let mirror = mirror::resolve(&mut section, parse_name, errors);
    section.finish(errors);
    Some(RouteConfig {
        name: valid_name?,
        targets,
        strategy,
        affinity,
        retry,
        timeouts,
        defaults,
        overrides,
        cache,
        fallbacks,
        context_fallbacks,
        content_fallbacks,
        mirror,
    })
}

fn targets(
    section: &Section<'_>,
    written: Spanned<DeValue<'_>>,
    errors: &mut ConfigErrors,
) -> Vec<TargetConfig> {
    let DeValue::Array(items) = &written.value else {
        let found = type_name(&written.value);
        let message = format!("expected an array, found {found}; write [\"provider/model\", …]");
        written.report(errors, message);
        return Vec::new();
    };
    if items.is_empty() || items.len() > TARGETS_MAX {
        written.report(
            errors,
            format_args!("{} targets; use 1 to {TARGETS_MAX}", items.len()),
        );
    }
    let target = |item: &toml::Spanned<DeValue<'_>>| {
        let entry = Spanned {
            location: written.location.clone(),
            key: written.key.clone(),
            value: item.get_ref().clone(),
        };
        match &entry.value {
            DeValue::String(model) => Some(TargetConfig {
                model: parse_target(model, &entry, errors)?,
                weight: 1,
                order: 0,
                limits: DeploymentLimits::default(),
                timeouts: CallTimeouts::default(),
            }),
            DeValue::Table(_) => {
                target_table(section.nested(entry.clone(), errors), &entry, errors)
            }
            other => {
                let found = type_name(other);
                let message = format!("expected a string or a table, found {found}");
                entry.report(errors, message);
                None
            }
        }
    };
    items.iter().filter_map(target).collect()
}

fn target_table(
    mut section: Section<'_>,
    entry: &Spanned<DeValue<'_>>,
    errors: &mut ConfigErrors,
) -> Option<TargetConfig> {
    let model = section.string("model", errors);
    if model.is_none() {
        entry.report(
            errors,
            "missing model; write { model = \"provider/model\" }",
        );
    }
    let weight = section.integer("weight", 1, 1..=WEIGHT_MAX, errors) as u32;
    let order = section.integer("order", 0, 0..=1_000, errors) as u32;
    let limits = api_keys::limits(&mut section, errors);
    let timeouts = CallTimeouts::take(&mut section, errors);
    section.finish(errors);
    Some(TargetConfig {
        model: parse_target(&model?.value, entry, errors)?,
        weight,
        order,
        limits,
        timeouts,
    })
}

fn parse_target(
    model: &str,
    entry: &Spanned<DeValue<'_>>,
    errors: &mut ConfigErrors,
) -> Option<String> {
    parse_pattern(model)
        .map_err(|message| entry.report(errors, message))
        .ok()
}

fn retry_on(section: &mut Section<'_>, errors: &mut ConfigErrors) -> FailureClasses {
    let Some(written) = section.strings_if_present("retry_on", errors) else {
        return RetryPolicy::default().retry_on;
    };
    let class = |written: Spanned<String>| {
        written.parse(errors, |word| {
            let known = FailureClass::parse(word).filter(|c| RetryPolicy::RETRY_ON.contains(c));
            known.ok_or_else(|| {
                let words = RetryPolicy::RETRY_ON.map(FailureClass::as_str).join(", ");
                format!("unknown failure class `{word}`; use {words}")
            })
        })
    };
    let classes: Vec<FailureClass> = written.into_iter().filter_map(class).collect();
    FailureClasses::of(&classes)
}

/// Request parameters as JSON. What decides about policy, price or framing cannot be set.
fn parameters(
    key: &'static str,
    section: &mut Section<'_>,
    errors: &mut ConfigErrors,
) -> Vec<(String, String)> {
    const RESERVED: [&str; 7] = [
        "model",
        "models",
        "messages",
        "input",
        "stream",
        "stream_options",
        "fallbacks",
    ];
    let Some(written) = section.take(key) else {
        return Vec::new();
    };
    let DeValue::Table(table) = &written.value else {
        let found = type_name(&written.value);
        written.report(errors, format_args!("expected a table, found {found}"));
        return Vec::new();
    };
    let mut parameters = Vec::new();
    for (name, value) in table {
        let name = name.get_ref().to_string();
        match to_json(value.get_ref()).filter(|_| !RESERVED.contains(&name.as_str())) {
            Some(json) => parameters.push((name, json.to_string())),
            None => written.report(errors, format_args!("`{name}` cannot be set; remove it")),
        }
    }
    parameters
}

fn to_json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    Some(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .ok()?
            .into(),
        // the digits as written: a float would change them
        DeValue::Float(digits) => serde_json::from_str(digits.as_str()).ok()?,
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| to_json(item.get_ref()));
            serde_json::Value::Array(items.collect::<Option<_>>()?)
        }
        DeValue::Table(table) => {
            let members = table
                .iter()
                .map(|(name, value)| Some((name.get_ref().to_string(), to_json(value.get_ref())?)));
            serde_json::Value::Object(members.collect::<Option<_>>()?)
        }
        DeValue::Datetime(_) => return None,
    })
}

fn fallback_names(written: Vec<Spanned<String>>, errors: &mut ConfigErrors) -> Vec<String> {
    if let Some(first) = written.get(FALLBACKS_MAX) {
        first.report(
            errors,
            format_args!("at most {FALLBACKS_MAX} fallbacks are allowed"),
        );
    }
    let names = written
        .into_iter()
        .filter_map(|name| name.parse(errors, |name| parse_name(name)));
    names.collect()
}

/// A name with at most one `*`.
fn parse_pattern(name: &str) -> Result<String, String> {
    if name.matches('*').count() > 1 {
        return Err(format!("several `*` in `{name}`; use one"));
    }
    parse_any(name)
}

/// A name without `*`.
fn parse_name(name: &str) -> Result<String, String> {
    if name.contains('*') {
        return Err(format!(
            "`*` in `{name}`; use the name of a route or a model"
        ));
    }
    parse_any(name)
}

fn parse_any(name: &str) -> Result<String, String> {
    let has_space = name.chars().any(|c| c.is_whitespace() || c.is_control());
    if name.is_empty() || name.len() > NAME_BYTES_MAX || has_space {
        return Err(format!(
            "invalid name {name:?}; use 1 to {NAME_BYTES_MAX} bytes without spaces"
        ));
    }
    Ok(name.to_owned())
}
