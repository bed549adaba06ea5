//! The deployments of LiteLLM's `model_list`: each becomes the target of a route, and a provider that it shares with the deployments of the
//! same vendor, address and credential.

use std::collections::BTreeMap;

use super::rates::per_million;
use super::remarks::Remarks;
use super::toml_file::{Provider, Route, Target, quoted};
use super::yaml::{Node, Value};
use crate::price::Sheet;
use crate::provider::{self, LiteLlmVendor, PriceRule, REGISTRY, litellm_vendor};

/// Parameters that name the deployment; everything else is a default of its requests or has no counterpart.
const OF_DEPLOYMENT: [&str; 24] = [
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
    "order",
    "timeout",
    "stream_timeout",
    "max_retries",
    "num_retries",
    "input_cost_per_token",
    "output_cost_per_token",
    "drop_params",
    "custom_llm_provider",
    "extra_headers",
    "organization",
    "max_parallel_requests",
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

#[derive(Default)]
pub(super) struct Deployments {
    providers: Vec<Provider>,
    routes: Vec<Route>,
    /// defaults of requests by route, as TOML
    defaults: BTreeMap<String, BTreeMap<String, String>>,
    /// keys that stood in the file
    literal_keys: usize,
    sheet: Option<Sheet>,
}

/// A deployment while it is read.
struct Reader<'n> {
    params: &'n Node,
    info: Option<&'n Node>,
    vendor: LiteLlmVendor,
    model: &'n str,
}

impl Deployments {
    /// Adds one entry of the list.
    pub fn add(&mut self, entry: &Node, remarks: &mut Remarks) {
        let name = entry.get("model_name").and_then(Node::text);
        let params = entry.get("litellm_params");
        let model = params
            .and_then(|params| params.get("model"))
            .and_then(Node::text);
        let (Some(name), Some(params), Some(model)) = (name, params, model) else {
            return remarks.add(entry, "model_list: an entry without model_name or model");
        };
        let sheet = self.sheet.get_or_insert_with(Sheet::embedded);
        let Some((vendor, model)) = litellm_vendor(model, REGISTRY, sheet) else {
            let prefix = model.split('/').next().unwrap_or_default();
            return remarks.add(params, format!("{name}: no provider type for `{prefix}`"));
        };
        let has_address = params.get("api_base").or(params.get("base_url")).is_some();
        let reader = Reader {
            params,
            info: entry.get("model_info"),
            vendor: if has_address {
                vendor.at_own_address()
            } else {
                vendor
            },
            model,
        };
        let provider = self.provider(&reader, name, remarks);
        let target = Target {
            model: format!("{provider}/{model}"),
            weight: reader.number("weight").or_else(|| reader.number("rpm")),
            order: reader.number("order"),
        };
        self.target(&reader, name, target, remarks);
    }

    /// Name of the provider with the deployment's settings, an earlier one if there is one.
    fn provider(&mut self, reader: &Reader<'_>, name: &str, remarks: &mut Remarks) -> String {
        let settings = self.settings(reader, name, remarks);
        let preset = reader.vendor.preset;
        let known = self
            .providers
            .iter()
            .position(|known| known.preset == preset && known.settings == settings);
        let index = known.unwrap_or_else(|| {
            let name = self.free_name(preset);
            self.providers.push(Provider {
                name,
                preset,
                settings,
                ..Provider::default()
            });
            self.providers.len() - 1
        });
        let sheet = self.sheet.get_or_insert_with(Sheet::embedded);
        let priced_as = reader.priced_as(sheet);
        let provider = &mut self.providers[index];
        if let Some(listed) = priced_as {
            provider.priced_as.insert(reader.model.to_owned(), listed);
        }
        // a fixed price covers the models that are listed
        let has_price = provider.settings.iter().any(|(key, _)| *key == "price");
        let model = if reader.model.contains('*') {
            "*"
        } else {
            reader.model
        };
        if has_price && !provider.models.iter().any(|known| known == model) {
            provider.models.push(model.to_owned());
        }
        let is_free = provider
            .settings
            .iter()
            .any(|(key, value)| *key == "price" && value == "\"free\"");
        if is_free && provider.notes.is_empty() {
            let note = "LiteLLM states no price, so calls are free here too; set price = { input = \"…\", output = \"…\" } if they are not";
            provider.notes.push(note.to_owned());
        }
        provider.name.clone()
    }

    fn free_name(&self, preset: &str) -> String {
        let taken = |name: &str| self.providers.iter().any(|provider| provider.name == name);
        let numbered = (2..).map(|number| format!("{preset}-{number}"));
        std::iter::once(preset.to_owned())
            .chain(numbered)
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    fn settings(
        &mut self,
        reader: &Reader<'_>,
        name: &str,
        remarks: &mut Remarks,
    ) -> Vec<(&'static str, String)> {
        let mut settings = Vec::new();
        if let Some(url) = reader.base_url() {
            settings.push(("base_url", url));
        }
        self.credentials(reader, name, &mut settings, remarks);
        if let Some(version) = reader.params.get("api_version") {
            match version
                .text()
                .filter(|text| !text.starts_with("os.environ/"))
            {
                Some(text) => settings.push(("api_version", quoted(text))),
                None => remarks.add(
                    version,
                    format!("{name}: api_version from the environment; write it out"),
                ),
            }
        }
        if let Some(price) = reader.price() {
            settings.push(("price", price));
        }
        if let Some(headers) = reader.headers() {
            settings.push(("headers", headers));
        }
        settings
    }

    fn credentials(
        &mut self,
        reader: &Reader<'_>,
        name: &str,
        settings: &mut Vec<(&'static str, String)>,
        remarks: &mut Remarks,
    ) {
        if reader.vendor.signs {
            return reader.aws(name, settings, remarks);
        }
        match reader.params.get("api_key") {
            Some(node) => match node.text().and_then(reference) {
                Some(variable) => settings.push(("api_key", quoted(&format!("env:{variable}")))),
                // servers on the operator's machines take any word
                None if reader.vendor.self_hosted => {}
                None => {
                    self.literal_keys += 1;
                    let variable = format!("LITELLM_KEY_{}", self.literal_keys);
                    remarks.add(node, format!("{name}: api_key stands in the file; store it in the environment as {variable}"));
                    settings.push(("api_key", quoted(&format!("env:{variable}"))));
                }
            },
            None if reader.vendor.self_hosted => {}
            None => {
                let variable = reader.vendor.key_variable;
                settings.push(("api_key", quoted(&format!("env:{variable}"))));
            }
        }
    }

    /// Adds the target to its route, with what the deployment sets for its requests.
    fn target(&mut self, reader: &Reader<'_>, name: &str, target: Target, remarks: &mut Remarks) {
        let is_first = !self.routes.iter().any(|route| route.name == name);
        if is_first {
            self.routes.push(Route {
                name: name.to_owned(),
                ..Route::default()
            });
        }
        let Some(route) = self.routes.iter_mut().find(|route| route.name == name) else {
            return;
        };
        route.targets.push(target);
        for (key, of_route, most) in [
            ("timeout", "call_timeout_s", 86_400),
            ("stream_timeout", "first_content_timeout_s", 86_400),
            ("max_retries", "max_retries", 10),
        ] {
            let Some(number) = reader.number(key) else {
                continue;
            };
            if !route.settings.iter().any(|(known, _)| *known == of_route) {
                let least = u64::from(of_route != "max_retries");
                route
                    .settings
                    .push((of_route, number.clamp(least, most).to_string()));
            }
        }
        let defaults = reader.defaults(name, remarks);
        match self.defaults.get(name) {
            Some(known) if *known != defaults => {
                remarks.add(reader.params, format!("{name}: its deployments have different default parameters; those of the first count"));
            }
            Some(_) => {}
            None => drop(self.defaults.insert(name.to_owned(), defaults)),
        }
    }

    /// The providers and routes.
    pub fn finish(self, remarks: &mut Remarks) -> (Vec<Provider>, Vec<Route>) {
        let mut routes = self.routes;
        for route in &mut routes {
            let has_all = route.targets.iter().all(|target| target.weight.is_some());
            if !has_all || route.targets.len() == 1 {
                // a weight is a share of the others'
                route
                    .targets
                    .iter_mut()
                    .for_each(|target| target.weight = None);
            }
            let defaults = self
                .defaults
                .get(&route.name)
                .filter(|defaults| !defaults.is_empty());
            if let Some(defaults) = defaults {
                let pairs: Vec<String> = defaults
                    .iter()
                    .map(|(key, value)| format!("{key} = {value}"))
                    .collect();
                route
                    .settings
                    .push(("defaults", format!("{{ {} }}", pairs.join(", "))));
            }
            if route.name.matches('*').count() > 1 {
                remarks.0.push(super::remarks::Remark {
                    line: 0,
                    text: format!("{}: several `*` in a name", route.name),
                });
            }
        }
        (self.providers, routes)
    }
}

impl Reader<'_> {
    fn number(&self, key: &str) -> Option<u64> {
        let number: f64 = self.params.get(key)?.text()?.parse().ok()?;
        (number >= 1.0).then_some(number.ceil() as u64)
    }

    fn base_url(&self) -> Option<String> {
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
    fn aws(&self, name: &str, settings: &mut Vec<(&'static str, String)>, remarks: &mut Remarks) {
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
    fn price(&self) -> Option<String> {
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
        Some(format!(
            "{{ input = {}, output = {} }}",
            quoted(&input),
            quoted(&output)
        ))
    }

    fn headers(&self) -> Option<String> {
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
    fn priced_as(&self, sheet: &Sheet) -> Option<String> {
        let vendor = sheet_vendor(self.vendor)?;
        let base = self.info?.get("base_model")?.text()?;
        let base = base.split_once('/').map_or(base, |(_, model)| model);
        let is_listed = sheet.find(vendor, self.model).is_some();
        (!is_listed && sheet.find(vendor, base).is_some()).then(|| base.to_owned())
    }

    fn defaults(&self, name: &str, remarks: &mut Remarks) -> BTreeMap<String, String> {
        let mut defaults = BTreeMap::new();
        for (key, node) in self.params.map() {
            if OF_DEPLOYMENT.contains(&key.as_str()) || matches!(node.value, Value::Null) {
                continue;
            }
            if matches!(key.as_str(), "rpm" | "tpm") {
                let text = "limits of a deployment have no counterpart; rpm is used as a weight";
                remarks.add(node, format!("{name}: {key}: {text}"));
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
fn reference(text: &str) -> Option<&str> {
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
