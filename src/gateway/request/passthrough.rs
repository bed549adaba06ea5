//! Body of a request whose vendor speaks the client's dialect: the client's bytes with few edits, images with the labels of their
//! bytes, fitted to the vendor where the dialect is another's.

use bytes::Bytes;

use crate::dialect::{self, Dialect, Edit, Request};
use crate::domain::api_error::ApiError;
use crate::domain::header_list::KnownHeader;
use crate::gateway::request::fitting::{FittedBody, Fitter};
use crate::gateway::request::{compat, known_members};
use crate::limits;
use crate::provider::Endpoint;
use crate::route::Deployment;

/// A request on its way to one endpoint. `headers` are the client's.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Passthrough<'a> {
    pub request: &'a Request,
    pub deployment: &'a Deployment,
    pub endpoint: &'static Endpoint,
    pub headers: &'a [KnownHeader],
    /// unknown members are left out
    pub known_only: bool,
    /// `messages` with the reasoning that the client left out
    pub restored: Option<&'a str>,
}

impl Passthrough<'_> {
    /// Returns true if the body may go up with other changes than the edits of every request.
    pub fn may_change(request: &Request, endpoint: &Endpoint) -> bool {
        endpoint.fits_passthrough() || has_media(request)
    }

    /// The body with the output cap that the gateway chose. Refuses changes where the configuration forbids them; a right label in
    /// place of a wrong one is none of these.
    pub fn body(self, output_cap: Option<u64>) -> Result<FittedBody, ApiError> {
        let (body, relabeled) = self.labeled(self.spliced(output_cap));
        if !self.endpoint.fits_passthrough() {
            let changed = relabeled;
            return Ok(FittedBody { body, changed });
        }
        let fitter = Fitter::new(self.deployment, self.endpoint);
        let mut fitted = fitter.fit(body)?;
        fitter.check_policy(&fitted.changed)?;
        fitted.changed.extend(relabeled);
        Ok(fitted)
    }

    /// Inline images with the labels of their bytes, and the paths of the labels that changed.
    fn labeled(self, body: Bytes) -> (Bytes, Vec<String>) {
        if !has_media(self.request) {
            return (body, Vec::new());
        }
        let text = std::str::from_utf8(&body).ok();
        match text.and_then(limits::relabel) {
            Some((labeled, paths)) => (labeled.into(), paths),
            None => (body, Vec::new()),
        }
    }

    /// The client's bytes with the edits that pass-through allows: model name, usage report, output cap, foreign reasoning, and the
    /// rules of a vendor that borrows or wraps the dialect.
    fn spliced(self, output_cap: Option<u64>) -> Bytes {
        let mut edits: Vec<Edit<'_>> = Vec::new();
        let (request, deployment) = (self.request, self.deployment);
        let preset = deployment.provider.preset;
        if deployment.model != request.model || request.aliased {
            edits.push(Edit::text("model", &deployment.model));
        }
        if request.streamed && preset.stream_usage_opt_in {
            edits.extend(request.stream_options_with_usage());
        }
        if let Some(tokens) = output_cap {
            edits.extend(request.capped(tokens, preset.output_cap_field));
        }
        if request.dialect == Dialect::Messages
            && let Some(json) = dialect::without_foreign_reasoning(
                request,
                deployment.capabilities().signed_reasoning,
            )
        {
            let (member, json) = ("messages", json.into());
            edits.push(Edit::Set { member, json });
        }
        if let Some(json) = self.restored {
            let (member, json) = ("messages", json.into());
            edits.push(Edit::Set { member, json });
        }
        if let Some(rules) = self.endpoint.compat {
            compat::edits(request, rules, &mut edits);
        }
        if self.known_only {
            let unknown = known_members::unknown(request, self.endpoint, deployment);
            edits.extend(unknown.map(|member| Edit::Remove { member }));
        }
        if let Some(wrapper) = self.endpoint.wrapper {
            compat::wrap(self.headers, wrapper, &mut edits);
        }
        request.spliced(&edits)
    }
}

/// An image without a label counts as a document.
fn has_media(request: &Request) -> bool {
    request.input.images > 0 || request.input.documents > 0
}
