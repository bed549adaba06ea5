//! A request on its way to a vendor of another dialect: read into the hub, fitted to the model, written once the output cap
//! is known. Takes the client's request, gives the upstream's body and the passage of the answer back.

use bytes::Bytes;

use crate::config::UnsupportedFieldPolicy;
use crate::conversation::{Capabilities, ChatRequest, Content, Media, Source, ToolNames};
use crate::dialect::{
    self, Dialect, EncodeOptions, Framing, Request, ResponseMeta, ResponseStream,
};
use crate::domain::api_error::ApiError;
use crate::domain::id::TeamId;
use crate::domain::input_bound::InputBound;
use crate::gateway::admission::output_cap;
use crate::gateway::request::{compat, inline_images, reasoning_memory};
use crate::gateway::{Gateway, defect};
use crate::provider::Endpoint;
use crate::route::Deployment;
use crate::upstream::Fetcher;

pub(crate) struct TranslatedRequest {
    ask: ChatRequest,
    names: ToolNames,
    takes: Capabilities,
    upstream: Dialect,
    /// bytes that came in from the memory, which the client did not send
    recalled_bytes: u64,
}

impl TranslatedRequest {
    /// Reads and fits the request. Refuses what this vendor cannot do, and, where the configuration asks for that, what it would
    /// not be told.
    pub(crate) async fn plan(
        gateway: &Gateway,
        team: TeamId,
        request: &Request,
        deployment: &Deployment,
        endpoint: &Endpoint,
        fetcher: Option<&Fetcher>,
    ) -> Result<TranslatedRequest, ApiError> {
        let name = deployment.qualified();
        let takes = deployment.capabilities();
        let mut ask = dialect::decode_request(request, &gateway.envelope)?;
        let recalled_bytes = gateway.memory.as_ref().map_or(0, |memory| {
            reasoning_memory::recall(memory, team, &mut ask, endpoint.dialect)
        });
        if let Some(fetcher) = fetcher.filter(|_| takes.images && !takes.image_urls) {
            inline_images::images(&mut ask, fetcher).await?;
        }
        ask.fit(&takes, dialect::field_names(request.dialect), &name)?;
        if deployment.provider.unsupported == UnsupportedFieldPolicy::Error
            && let Some(member) = ask.dropped.first()
        {
            return Err(compat::not_taken(deployment, member));
        }
        let names = ToolNames::of(&ask, takes.names);
        Ok(TranslatedRequest {
            ask,
            names,
            takes,
            upstream: endpoint.dialect,
            recalled_bytes,
        })
    }

    /// The bound of what is really sent: hosted tools and files that a vendor keeps did not cross, images that were fetched
    /// are images like others, and what came in from the memory is read by the model too.
    pub(crate) fn input(&self, asked: InputBound) -> InputBound {
        let (mut images, mut documents, mut unbounded) = (0, 0, None);
        for media in self.ask.media() {
            match media {
                Content::Image(Media {
                    source: Source::Base64(_),
                    ..
                }) => images += 1,
                Content::Document(Media {
                    source: Source::Base64(_),
                    ..
                }) => documents += 1,
                Content::Image(_) => unbounded = Some("remote image URL".to_owned()),
                _ => {}
            }
        }
        let text_bytes = asked.text_bytes.saturating_add(self.recalled_bytes);
        InputBound {
            text_bytes,
            images,
            documents,
            searches: 0,
            unbounded,
            ..asked
        }
    }

    /// The fewest tokens that the model may be told to think with, where an effort became a number.
    pub(crate) fn thinking_tokens_min(&self) -> Option<u64> {
        self.ask.thinking_tokens_min(&self.takes)
    }

    /// What the vendor gets otherwise or not at all, as a header names it.
    pub(crate) fn dropped(&self) -> Option<String> {
        let mut names: Vec<&str> = self.ask.dropped.iter().map(String::as_str).collect();
        names.sort_unstable();
        compat::listed(&names)
    }

    /// The body that goes upstream, with the cap that was chosen.
    pub(crate) fn body(
        &mut self,
        deployment: &Deployment,
        output_cap: Option<u64>,
    ) -> Option<Bytes> {
        if let Some(tokens) = output_cap {
            self.ask.cap(tokens, &self.takes);
        }
        let preset = deployment.provider.preset;
        let sending = EncodeOptions {
            model: &deployment.model,
            capabilities: &self.takes,
            names: &self.names,
            output_cap: self.ask.output_cap,
            output_max: deployment
                .price
                .max_output()
                .unwrap_or(output_cap::UNKNOWN_MODEL_TOKENS),
            output_cap_member: preset.output_cap_member,
            stream_usage_opt_in: preset.stream_usage_opt_in,
        };
        dialect::encode_request(self.upstream, &self.ask, &sending).map(Bytes::from)
    }

    /// How the answer comes back.
    pub(crate) fn response_stream(
        self,
        request: &Request,
        head: ResponseMeta,
        framing: Framing,
        event_bytes_max: usize,
    ) -> Result<ResponseStream, ApiError> {
        ResponseStream::translated(
            self.upstream,
            request,
            head,
            self.names,
            framing,
            event_bytes_max,
        )
        .ok_or_else(|| defect("an answer cannot be translated"))
    }
}
