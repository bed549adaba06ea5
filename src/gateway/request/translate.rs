//! Translation of a request for a vendor of another dialect: decoded into the canonical model, fitted to the model's
//! capabilities, encoded once the output cap is known. Yields the upstream's body and the translation of the response.

use bytes::Bytes;

use crate::config::UnsupportedFieldPolicy;
use crate::conversation::{Capabilities, ChatRequest, Content, Media, Source, ToolNames};
use crate::dialect::{
    self, Dialect, EncodeOptions, Request, ResponseMeta, ResponseStream, StreamOptions,
};
use crate::domain::api_error::ApiError;
use crate::domain::id::TeamId;
use crate::domain::input_bound::InputBound;
use crate::gateway::request::reasoning_memory::ReasoningStore;
use crate::gateway::request::{UNKNOWN_MODEL_TOKENS, compat, inline_images};
use crate::provider::Endpoint;
use crate::route::Deployment;
use crate::upstream::Fetcher;

/// A request in the canonical model, fitted to one deployment.
pub(in crate::gateway) struct TranslatedRequest {
    chat: ChatRequest,
    names: ToolNames,
    capabilities: Capabilities,
    upstream: Dialect,
    /// bytes restored from the reasoning memory, which the client did not send
    recalled_bytes: u64,
    /// images by URL are fetched before the request is sent
    fetches_images: bool,
}

impl TranslatedRequest {
    /// Decodes and fits the request. Refuses what the vendor cannot do and, with `unsupported = "error"`, what would be left
    /// out. `may_fetch`: the gateway may fetch images by URL.
    pub fn plan(
        reasoning: &ReasoningStore,
        team: TeamId,
        request: &Request,
        deployment: &Deployment,
        endpoint: &Endpoint,
        may_fetch: bool,
    ) -> Result<TranslatedRequest, ApiError> {
        let capabilities = deployment.capabilities();
        let mut chat = dialect::decode_request(request, &reasoning.sealer)?;
        let recalled_bytes = reasoning.recall(team, &mut chat, endpoint.dialect);
        let inlines = may_fetch && capabilities.images && !capabilities.image_urls;
        let fetches_images = inlines && inline_images::check(&mut chat)? > 0;
        chat.fit(
            &Capabilities {
                image_urls: capabilities.image_urls || fetches_images,
                ..capabilities
            },
            dialect::field_names(request.dialect),
            &deployment.qualified(),
        )?;
        if deployment.provider.unsupported == UnsupportedFieldPolicy::Error
            && let Some(member) = chat.dropped.first()
        {
            return Err(compat::unsupported_member(deployment, member));
        }
        Ok(TranslatedRequest {
            names: ToolNames::of(&chat, capabilities.names),
            chat,
            capabilities,
            upstream: endpoint.dialect,
            recalled_bytes,
            fetches_images,
        })
    }

    /// Bound of what is sent: hosted tools and files kept by a vendor are not translated, fetched images count as images, and
    /// restored reasoning is input too.
    pub fn input(&self, requested: InputBound) -> InputBound {
        let (mut images, mut documents, mut unbounded) = (0, 0, None);
        for media in self.chat.media() {
            match media {
                Content::Image(Media {
                    source: Source::Base64(_),
                    ..
                }) => images += 1,
                Content::Document(Media {
                    source: Source::Base64(_),
                    ..
                }) => documents += 1,
                Content::Image(_) if self.fetches_images => images += 1,
                Content::Image(_) => unbounded = Some("remote image URL".to_owned()),
                _ => {}
            }
        }
        let text_bytes = requested.text_bytes.saturating_add(self.recalled_bytes);
        InputBound {
            text_bytes,
            images,
            documents,
            searches: 0,
            unbounded,
            ..requested
        }
    }

    pub fn fetches_images(&self) -> bool {
        self.fetches_images
    }

    /// Replaces images by URL by the images themselves.
    pub async fn fetch_images(&mut self, fetcher: &Fetcher) -> Result<(), ApiError> {
        inline_images::inline(&mut self.chat, fetcher).await
    }

    /// Fewest tokens that the model is told to think with, where an effort became a number.
    pub fn thinking_tokens_min(&self) -> Option<u64> {
        self.chat.thinking_tokens_min(&self.capabilities)
    }

    /// Members that the vendor receives changed or not at all, as a header lists them.
    pub fn dropped(&self) -> Option<String> {
        let mut names: Vec<&str> = self.chat.dropped.iter().map(String::as_str).collect();
        names.sort_unstable();
        compat::header_list(&names)
    }

    /// Encodes the upstream body with the chosen cap; `None` where the dialect has no encoder.
    pub fn body(&mut self, deployment: &Deployment, output_cap: Option<u64>) -> Option<Bytes> {
        if let Some(tokens) = output_cap {
            self.chat.cap(tokens, &self.capabilities);
        }
        let preset = deployment.provider.preset;
        let options = EncodeOptions {
            model: &deployment.model,
            capabilities: &self.capabilities,
            names: &self.names,
            output_cap: self.chat.output_cap,
            output_max: deployment
                .price
                .max_output()
                .unwrap_or(UNKNOWN_MODEL_TOKENS),
            output_cap_field: preset.output_cap_field,
            stream_usage_opt_in: preset.stream_usage_opt_in,
        };
        dialect::encode_request(self.upstream, &self.chat, &options).map(Bytes::from)
    }

    /// Reader of the response, which it translates for the client. An error is a defect.
    pub fn response_stream(
        self,
        request: &Request,
        meta: ResponseMeta,
        options: StreamOptions,
    ) -> Result<ResponseStream, String> {
        ResponseStream::translated(self.upstream, request, meta, self.names, options)
            .ok_or_else(|| "a response cannot be translated".to_owned())
    }
}
