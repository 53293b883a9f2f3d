//! `#[derive(Message)]` of `consign`; write `consign::Message`, which is the same.
//!
//! The generated code names paths of the facade only, so a crate that derives needs no other
//! dependency of ours.

mod attributes;
mod message;
mod one_kind;
mod several_kinds;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct a message of one kind, or an enum a message of several kinds of one topic.
///
/// On a struct, `#[message(...)]` takes:
///
/// | attribute | says | without it |
/// |---|---|---|
/// | `kind = "article.published"` | what is stored, so it survives a rename of the type | refused |
/// | `version = 2` | raised when older builds cannot read the payload any more | 1 |
/// | `topic = "articles"` | the topic that the message is published to | the kind |
/// | `key = author_id` | what stays in order: a field, or an expression in parentheses | no order |
///
/// A kind and a topic are 1 to 63 of `a-z 0-9 _ . -` and begin with a letter. A struct also derives
/// serde's `Serialize` and `Deserialize`. An enum lists structs, one a variant; it needs no serde
/// and no attribute, since the stored kind tells the variants apart.
///
/// The facade's `Message` has a compiled example.
#[proc_macro_derive(Message, attributes(message))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    message::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
