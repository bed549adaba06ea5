//! Embeddings for a vendor with a format of its own: the client's texts as batches that the vendor takes, fitted to its limits.

use bytes::Bytes;

use crate::dialect::{EmbeddingFormat, EmbeddingRequest, Request};
use crate::domain::api_error::ApiError;
use crate::gateway::request::compat;
use crate::gateway::request::fitting::Fitter;
use crate::provider::Endpoint;
use crate::route::Deployment;

/// A request for embeddings, in one body per batch.
pub(in crate::gateway) struct NativeEmbeddings {
    pub request: EmbeddingRequest,
    pub batches: Vec<TextBatch>,
}

#[derive(Clone)]
pub(in crate::gateway) struct TextBatch {
    pub body: Bytes,
    pub texts: usize,
}

impl NativeEmbeddings {
    /// Splits the texts into batches. Refuses what the vendor cannot do and, with `unsupported = "error"`, what would be left out.
    pub fn plan(
        request: &Request,
        deployment: &Deployment,
        endpoint: &'static Endpoint,
        format: EmbeddingFormat,
    ) -> Result<NativeEmbeddings, ApiError> {
        let fitter = Fitter::new(deployment, endpoint);
        let mut request = EmbeddingRequest::decode(request, format, &deployment.model)?;
        fitter.check_policy(&request.dropped)?;
        let field = format.list_field();
        let batch_max = field.and_then(|field| fitter.max_items(field)).unwrap_or(1);
        let mut batches = Vec::with_capacity(request.text_count().div_ceil(batch_max));
        for (body, texts) in request.batches(batch_max) {
            let fitted = fitter.fit(body.into())?;
            fitter.check_policy(&fitted.changed)?;
            let changed = fitted.changed.into_iter();
            let new: Vec<String> = changed
                .filter(|name| !request.dropped.contains(name))
                .collect();
            request.dropped.extend(new);
            batches.push(TextBatch {
                body: fitted.body,
                texts,
            });
        }
        Ok(NativeEmbeddings { request, batches })
    }

    /// Members that the vendor receives changed or not at all, as a header lists them.
    pub fn dropped(&self) -> Option<String> {
        let mut names: Vec<&str> = self.request.dropped.iter().map(String::as_str).collect();
        names.sort_unstable();
        compat::header_list(&names)
    }
}
