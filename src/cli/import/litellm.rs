//! Translation of LiteLLM's configuration: deployments become providers and targets, model groups become routes. What has no counterpart
//! becomes a remark with its line; what Gatekeeper does by itself is passed over. Values may be secrets: no remark repeats one.

use std::collections::BTreeMap;

use super::deployment::Deployments;
use super::remarks::{Remark, Remarks};
use super::toml_file::{Route, Target, TomlFile, array};
use super::yaml::{self, Node, Value};

pub(super) struct Translation {
    pub toml: String,
    pub remarks: Vec<Remark>,
    pub providers: usize,
    pub routes: usize,
}

/// Settings that Gatekeeper needs no counterpart for: it does the same by itself, or has no such part.
const PASSED_OVER: [&str; 48] = [
    "master_key",
    "database_url",
    "database_connection_pool_limit",
    "store_model_in_db",
    "salt_key",
    "set_verbose",
    "json_logs",
    "telemetry",
    "drop_params",
    "modify_params",
    "suppress_debug_info",
    "ssl_verify",
    "allowed_fails",
    "retry_after",
    "disable_cooldowns",
    "enable_pre_call_checks",
    "redis_host",
    "redis_port",
    "redis_password",
    "redis_url",
    "redis_db",
    "redis_ssl",
    "background_health_checks",
    "health_check_interval",
    "proxy_batch_write_at",
    "proxy_budget_rescheduler_min_time",
    "proxy_budget_rescheduler_max_time",
    "disable_spend_logs",
    "disable_error_logs",
    "store_prompts_in_spend_logs",
    "maximum_spend_logs_retention_period",
    "allow_requests_on_db_unavailable",
    "disable_admin_ui",
    "ui_access_mode",
    "debug_level",
    "infer_model_from_keys",
    "routing_strategy_args",
    "client_ttl",
    "cache_responses",
    "debug",
    "turn_off_message_logging",
    "redact_user_api_key_info",
    "enable_json_schema_validation",
    "force_ipv4",
    "request_timeout_enabled",
    "detailed_debug",
    "disable_end_user_cost_tracking",
    "default_max_retries",
];

/// Translates the text of a configuration; an error is a line and the cause.
pub(super) fn translate(text: &str) -> Result<Translation, (usize, String)> {
    let root = yaml::parse(text)?;
    if !matches!(root.value, Value::Map(_)) {
        return Err((
            root.line,
            "no mapping at the top; this is no LiteLLM configuration".into(),
        ));
    }
    let mut translator = Translator::default();
    for (section, node) in root.map() {
        translator.section(section, node);
    }
    Ok(translator.finish())
}

#[derive(Default)]
struct Translator {
    deployments: Deployments,
    aliases: BTreeMap<String, String>,
    /// settings of every route, as TOML
    common: BTreeMap<&'static str, String>,
    /// fallback lists by route
    fallbacks: Vec<(&'static str, String, Vec<String>)>,
    default_fallbacks: Vec<String>,
    /// keys of other sections, as TOML
    sections: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    /// the budget of the whole proxy, and its period
    max_budget: Option<(String, usize)>,
    budget_duration: Option<String>,
    /// answers are kept for every request
    caches: bool,
    remarks: Remarks,
}

impl Translator {
    fn section(&mut self, name: &str, node: &Node) {
        match name {
            "model_list" => {
                for entry in node.list() {
                    self.deployments.add(entry, &mut self.remarks);
                }
            }
            "router_settings" | "litellm_settings" | "general_settings" => {
                for (key, value) in node.map() {
                    self.setting(key, value);
                }
            }
            "environment_variables" if node.map().is_empty() => {}
            "environment_variables" => {
                let text = "environment_variables: set them in the environment of the service";
                self.remarks.add(node, text);
            }
            other => self.remarks.add(node, format!("{other}: no counterpart")),
        }
    }

    fn setting(&mut self, key: &str, node: &Node) {
        match key {
            "routing_strategy" => self.strategy(node),
            "cooldown_time" => self.cooldown(node),
            "num_retries" => self.number("max_retries", 10, node),
            "timeout" | "request_timeout" => self.number("call_timeout_s", 86_400, node),
            "stream_timeout" => self.number("first_content_timeout_s", 86_400, node),
            "fallbacks" => self.fallbacks("fallbacks", node),
            "context_window_fallbacks" => self.fallbacks("context_fallbacks", node),
            "content_policy_fallbacks" => self.fallbacks("content_fallbacks", node),
            "default_fallbacks" => self.default_fallbacks = names(node),
            "model_group_alias" => self.aliases(node),
            "callbacks" | "success_callback" | "failure_callback" | "service_callback" => {
                // metrics are at /metrics
                if names(node).iter().any(|name| name != "prometheus") {
                    self.remarks.add(
                        node,
                        format!(
                            "{key}: no counterpart; /metrics, alerts and GET /v1/requests are there"
                        ),
                    );
                }
            }
            "cache" => self.caches = is_true(node),
            "cache_params" => self.cache(node),
            "max_budget" => {
                self.max_budget = node.text().map(|text| (text.to_owned(), node.line));
            }
            "budget_duration" => self.budget_duration = node.text().map(str::to_owned),
            "ssl_verify" if !is_true(node) => {
                let text = "ssl_verify: certificates are always verified; name the authority with `ca` of the provider";
                self.remarks.add(node, text);
            }
            "global_max_parallel_requests" | "max_parallel_requests" => {
                let text =
                    format!("{key}: no counterpart; `max_parallel` is set on keys and teams");
                self.remarks.add(node, text);
            }
            key if PASSED_OVER.contains(&key) => {}
            key => self.remarks.add(node, format!("{key}: no counterpart")),
        }
    }

    fn strategy(&mut self, node: &Node) {
        let word = match node.text().unwrap_or_default() {
            "simple-shuffle" => "weighted",
            "least-busy" => "least_busy",
            "latency-based-routing" => "fastest",
            "cost-based-routing" => "cheapest",
            other => {
                let text = format!("routing_strategy {other}: no counterpart; weighted is used");
                return self.remarks.add(node, text);
            }
        };
        if word != "weighted" {
            self.common.insert("strategy", format!("\"{word}\""));
        }
    }

    /// A setting of whole numbers; a fraction is rounded up.
    fn number(&mut self, key: &'static str, most: u64, node: &Node) {
        let number = node.text().and_then(|text| text.parse::<f64>().ok());
        match number.filter(|number| *number >= 0.0) {
            // routes refuse a time-out of zero
            Some(number) => {
                let least = u64::from(key != "max_retries");
                let number = (number.ceil() as u64).clamp(least, most);
                self.common.insert(key, number.to_string());
            }
            None => self.remarks.add(node, format!("{key}: no number")),
        }
    }

    fn cooldown(&mut self, node: &Node) {
        let seconds = node.text().and_then(|text| text.parse::<f64>().ok());
        match seconds.filter(|seconds| *seconds > 0.0) {
            Some(seconds) => {
                let seconds = (seconds.ceil() as u64).clamp(1, 3_600).to_string();
                let limits = self.sections.entry("limits").or_default();
                limits.insert("probe_interval_s", seconds);
            }
            None => self
                .remarks
                .add(node, "cooldown_time: no number of seconds"),
        }
    }

    /// Lifetime and kind of kept answers; where LiteLLM keeps them has no counterpart, since Gatekeeper keeps them itself.
    fn cache(&mut self, node: &Node) {
        let text = |key: &str| node.get(key).and_then(Node::text);
        let cache = self.sections.entry("cache").or_default();
        let ttl_s = text("ttl").and_then(|ttl| ttl.parse::<f64>().ok());
        if let Some(ttl_s) = ttl_s.filter(|ttl_s| *ttl_s >= 1.0) {
            let ttl_s = (ttl_s as u64).min(2_592_000);
            cache.insert("ttl_s", ttl_s.to_string());
        }
        if text("type").is_some_and(|kind| kind.contains("semantic")) {
            let text = "cache_params: only equal requests are served; read docs/semantic-cache.md, then set mode = \"semantic\"";
            self.remarks.add(node, text);
        }
        if text("mode") == Some("default_off") {
            self.caches = false;
            let text = "cache_params: mode default_off has no counterpart, so no answer is kept; set `cache` on single routes";
            self.remarks.add(node, text);
        }
    }

    /// The command that sets the budget of the whole proxy: budgets live in the books, not in the file.
    fn budget(&mut self) -> Option<String> {
        let (amount, line) = self.max_budget.take()?;
        let period = match self.budget_duration.as_deref() {
            None => "",
            Some("1d" | "24h") => "/day",
            Some("7d") => "/week",
            Some("30d" | "31d" | "1mo") => "/month",
            Some(_) => {
                let text = "budget_duration: windows are a day, a week or a month; the budget is set in total".to_owned();
                self.remarks.0.push(Remark { line, text });
                ""
            }
        };
        if amount.parse::<f64>().is_err() {
            let text = "max_budget: no amount".to_owned();
            self.remarks.0.push(Remark { line, text });
            return None;
        }
        Some(format!(
            "Once it runs, set LiteLLM's max_budget: gatekeeper budgets set default '${amount}{period}'"
        ))
    }

    fn fallbacks(&mut self, list: &'static str, node: &Node) {
        let entries = node.list().iter().flat_map(|entry| entry.map());
        for (name, targets) in entries {
            if name == "*" && list == "fallbacks" {
                self.default_fallbacks = names(targets);
                continue;
            }
            self.fallbacks.push((list, name.clone(), names(targets)));
        }
    }

    fn aliases(&mut self, node: &Node) {
        for (alias, target) in node.map() {
            match target.text().or(target.get("model").and_then(Node::text)) {
                Some(name) => drop(self.aliases.insert(alias.clone(), name.to_owned())),
                None => self
                    .remarks
                    .add(target, "model_group_alias: no name of a model"),
            }
        }
    }

    fn finish(mut self) -> Translation {
        let notes = self.budget().into_iter().collect();
        let (providers, mut routes) = self.deployments.finish(&mut self.remarks);
        for route in &mut routes {
            for (key, value) in &self.common {
                if !route.settings.iter().any(|(own, _)| own == key) {
                    route.settings.push((key, value.clone()));
                }
            }
        }
        for (list, name, targets) in self.fallbacks {
            match routes.iter_mut().find(|route| route.name == name) {
                Some(route) => route.settings.push((list, array(&targets))),
                None => routes.push(fallbacks_of_model(list, &name, &targets)),
            }
        }
        add_default_fallbacks(&mut routes, &self.default_fallbacks);
        let (provider_count, route_count) = (providers.len(), routes.len());
        let cache = self.sections.entry("cache").or_default();
        match self.caches {
            true => drop(cache.insert("mode", "\"exact\"".to_owned())),
            false => cache.clear(),
        }
        self.sections.retain(|_, settings| !settings.is_empty());
        let file = TomlFile {
            notes,
            sections: self.sections,
            providers,
            routes,
            aliases: self.aliases,
        };
        self.remarks.0.sort_by_key(|remark| remark.line);
        Translation {
            toml: file.render(),
            remarks: self.remarks.0,
            providers: provider_count,
            routes: route_count,
        }
    }
}

/// A route for fallbacks of a model that is in no list: the model itself, by its own name.
fn fallbacks_of_model(list: &'static str, name: &str, targets: &[String]) -> Route {
    Route {
        name: name.to_owned(),
        targets: vec![Target {
            model: name.to_owned(),
            ..Target::default()
        }],
        settings: vec![(list, array(targets))],
    }
}

fn add_default_fallbacks(routes: &mut [Route], names: &[String]) {
    if names.is_empty() {
        return;
    }
    for route in routes {
        let has_own = route.settings.iter().any(|(key, _)| *key == "fallbacks");
        let others: Vec<String> = names
            .iter()
            .filter(|name| **name != route.name)
            .cloned()
            .collect();
        if !has_own && !others.is_empty() {
            route.settings.push(("fallbacks", array(&others)));
        }
    }
}

fn is_true(node: &Node) -> bool {
    matches!(node.text(), Some("true" | "True"))
}

/// A text or a list of texts.
fn names(node: &Node) -> Vec<String> {
    let one = node.text().map(str::to_owned);
    let list = node
        .list()
        .iter()
        .filter_map(|item| Some(item.text()?.to_owned()));
    one.into_iter().chain(list).collect()
}
