//! One deployment of LiteLLM's `model_list` while it is read: its address, credential, price, bounds and default parameters, in the words of
//! gatekeeper.toml.

use std::collections::BTreeMap;

use super::rates::per_million;
use super::remarks::Remarks;
use super::toml_file::quoted;
use super::yaml::{Node, Value};
use crate::price::Sheet;
use crate::provider::{self, LiteLlmVendor, PriceRule};

const PER_MINUTE_MAX: f64 = 1e9;
const TIMEOUT_S_MAX: u64 = 86_400;

/// Parameters that name the deployment; everything else is a default of its requests or has no counterpart.
const OF_DEPLOYMENT: [&str; 28] = [
    "model",
    "api_key",
    "api_base",
    "base_url",
    "api_version",
    "aws_region_name",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "weight",
    "rpm",
    "tpm",
    "cooldown_time",
    "order",
    "timeout",
    "stream_timeout",
    "max_retries",
    "num_retries",
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "drop_params",
    "custom_llm_provider",
    "extra_headers",
    "organization",
    "use_in_pass_through",
    "merge_reasoning_content_in_choices",
];
/// Parameters of requests that a deployment may set.
const DEFAULTS: [&str; 14] = [
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "max_completion_tokens",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
    "reasoning_effort",
    "n",
    "user",
    "service_tier",
    "parallel_tool_calls",
];

/// A deployment while it is read.
pub(super) struct Reader<'n> {
    /// the whole entry of the list
    pub entry: &'n Node,
    pub params: &'n Node,
    pub info: Option<&'n Node>,
    pub vendor: LiteLlmVendor,
    pub model: &'n str,
}

impl Reader<'_> {
    pub fn number(&self, key: &str) -> Option<u64> {
        let number: f64 = self.params.get(key)?.text()?.parse().ok()?;
        (number >= 1.0).then_some(number.ceil() as u64)
    }

    /// A bound of requests or tokens per minute, wherever LiteLLM reads it from.
    pub fn per_minute(&self, key: &str) -> Option<u64> {
        let info = self.info.and_then(|info| info.get(key));
        let node = self.params.get(key).or(self.entry.get(key)).or(info)?;
        let number: f64 = node.text()?.parse().ok()?;
        (1.0..=PER_MINUTE_MAX)
            .contains(&number)
            .then_some(number as u64)
    }

    /// Timeouts of its calls, as TOML.
    pub fn timeouts(&self) -> Vec<(&'static str, String)> {
        let pairs = [
            ("timeout", "call_timeout_s"),
            ("stream_timeout", "first_content_timeout_s"),
        ];
        let pairs = pairs.into_iter().filter_map(|(key, ours)| {
            let seconds = self.number(key)?.clamp(1, TIMEOUT_S_MAX);
            Some((ours, seconds.to_string()))
        });
        pairs.collect()
    }

    pub fn base_url(&self) -> Option<String> {
        let written = self
            .params
            .get("api_base")
            .or(self.params.get("base_url"))?
            .text()?;
        if let Some(variable) = reference(written) {
            return Some(quoted(&format!("env:{variable}")));
        }
        let url = written.trim_end_matches('/');
        let path = self.vendor.base_path;
        let url = if url.ends_with(path) {
            url.to_owned()
        } else {
            format!("{url}{path}")
        };
        Some(quoted(&url))
    }

    /// AWS keys; without any, the variables that LiteLLM would read.
    pub fn aws(
        &self,
        name: &str,
        settings: &mut Vec<(&'static str, String)>,
        remarks: &mut Remarks,
    ) {
        match self
            .params
            .get("aws_region_name")
            .map(|node| (node, node.text().unwrap_or_default()))
        {
            Some((node, text)) if reference(text).is_some() => {
                remarks.add(
                    node,
                    format!("{name}: aws_region_name from the environment; write `region` out"),
                );
            }
            Some((_, text)) => settings.push(("region", quoted(text))),
            None => remarks.add(
                self.params,
                format!("{name}: no aws_region_name; write `region`"),
            ),
        }
        for (key, ours, variable) in [
            ("aws_access_key_id", "access_key_id", "AWS_ACCESS_KEY_ID"),
            (
                "aws_secret_access_key",
                "secret_access_key",
                "AWS_SECRET_ACCESS_KEY",
            ),
        ] {
            let node = self.params.get(key);
            let named = node.and_then(Node::text).and_then(reference);
            if let (Some(node), None) = (node, named) {
                remarks.add(node, format!("{name}: {key} stands in the file; store it in the environment as {variable}"));
            }
            settings.push((ours, quoted(&format!("env:{}", named.unwrap_or(variable)))));
        }
        if let Some(token) = self
            .params
            .get("aws_session_token")
            .and_then(Node::text)
            .and_then(reference)
        {
            settings.push(("session_token", quoted(&format!("env:{token}"))));
        }
    }

    /// `price` of the provider: the deployment's own rates, or "free" where nothing else states one.
    pub fn price(&self) -> Option<String> {
        let rate = |key: &str| {
            let of_info = self.info.and_then(|info| info.get(key));
            per_million(self.params.get(key).or(of_info)?.text()?)
        };
        let (input, output) = (rate("input_cost_per_token"), rate("output_cost_per_token"));
        if input.is_none() && output.is_none() {
            return needs_price(self.vendor).then(|| "\"free\"".to_owned());
        }
        let or_zero = |rate: Option<String>| rate.unwrap_or_else(|| "0".to_owned());
        let (input, output) = (or_zero(input), or_zero(output));
        if (input.as_str(), output.as_str()) == ("0", "0") {
            return Some("\"free\"".to_owned());
        }
        let mut rates = format!("input = {}, output = {}", quoted(&input), quoted(&output));
        for (key, ours) in [
            ("cache_read_input_token_cost", "cache_read"),
            ("cache_creation_input_token_cost", "cache_write"),
        ] {
            if let Some(rate) = rate(key) {
                rates += &format!(", {ours} = {}", quoted(&rate));
            }
        }
        Some(format!("{{ {rates} }}"))
    }

    pub fn headers(&self) -> Option<String> {
        let mut pairs: Vec<String> = Vec::new();
        let mut add = |name: &str, value: &str| {
            let value =
                reference(value).map_or(value.to_owned(), |variable| format!("env:{variable}"));
            pairs.push(format!(
                "{} = {}",
                quoted(&name.to_ascii_lowercase()),
                quoted(&value)
            ));
        };
        for (name, value) in self
            .params
            .get("extra_headers")
            .map(Node::map)
            .unwrap_or_default()
        {
            add(name, value.text().unwrap_or_default());
        }
        if let Some(organization) = self.params.get("organization").and_then(Node::text) {
            add("openai-organization", organization);
        }
        (!pairs.is_empty()).then(|| format!("{{ {} }}", pairs.join(", ")))
    }

    /// Model of the price sheet, for a deployment with a name of its own.
    pub fn priced_as(&self, sheet: &Sheet) -> Option<String> {
        let vendor = sheet_vendor(self.vendor)?;
        let base = self.info?.get("base_model")?.text()?;
        let base = base.split_once('/').map_or(base, |(_, model)| model);
        let is_listed = sheet.find(vendor, self.model).is_some();
        (!is_listed && sheet.find(vendor, base).is_some()).then(|| base.to_owned())
    }

    pub fn defaults(&self, name: &str, remarks: &mut Remarks) -> BTreeMap<String, String> {
        let mut defaults = BTreeMap::new();
        for (key, node) in self.params.map() {
            if OF_DEPLOYMENT.contains(&key.as_str()) || matches!(node.value, Value::Null) {
                continue;
            }
            if key == "max_parallel_requests" {
                let text = "max_parallel_requests has no counterpart; set rpm or tpm";
                remarks.add(node, format!("{name}: {text}"));
                continue;
            }
            match node.text().filter(|_| DEFAULTS.contains(&key.as_str())) {
                Some(text) => drop(defaults.insert(key.clone(), toml_scalar(text))),
                None => remarks.add(node, format!("{name}: {key} has no counterpart")),
            }
        }
        defaults
    }
}

/// Returns `true` if the provider type has no price of its own.
fn needs_price(vendor: LiteLlmVendor) -> bool {
    provider::find(vendor.preset).is_some_and(|preset| matches!(preset.price, PriceRule::Required))
}

/// Vendor of the price sheet.
fn sheet_vendor(vendor: LiteLlmVendor) -> Option<&'static str> {
    match provider::find(vendor.preset)?.price {
        PriceRule::Sheet(listed) => Some(listed),
        _ => None,
    }
}

/// Variable behind `os.environ/NAME`.
pub(super) fn reference(text: &str) -> Option<&str> {
    text.strip_prefix("os.environ/")
}

fn toml_scalar(text: &str) -> String {
    let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
    match text {
        "true" | "True" => "true".to_owned(),
        "false" | "False" => "false".to_owned(),
        text if is_number && !text.starts_with(['.', '+']) && !text.ends_with('.') => {
            text.to_owned()
        }
        text => quoted(text),
    }
}
