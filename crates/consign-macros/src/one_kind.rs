//! The impl for a struct: one kind, its payload as JSON by serde.

use crate::attributes::Attributes;
use crate::message::refuse_on_fields;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Expr, ExprPath, Fields, Ident, Result};

pub(crate) fn expand(input: &DeriveInput, fields: &Fields) -> Result<TokenStream> {
    refuse_on_fields(fields)?;
    let name = &input.ident;
    let Attributes { kind, version, topic, key } = Attributes::of(input)?;
    let key = key_body(name, fields, key)?;
    // Spanned at the struct's name: that is where a missing `Serialize` or `Deserialize` shows.
    let encode = quote_spanned!(name.span()=> ::consign::__private::to_json(self));
    let decode = quote_spanned!(name.span()=> ::consign::__private::from_json(payload));
    Ok(quote! {
        #[automatically_derived]
        impl ::consign::Message for #name {
            const TOPIC: &'static str = #topic;
            const KINDS: &'static [::consign::Kind] =
                &[::consign::Kind { name: #kind, version: #version }];

            fn kind(&self) -> ::consign::Kind {
                Self::KINDS[0]
            }
            fn key(&self) -> ::consign::Result<::core::option::Option<::consign::Key>> {
                #key
            }
            fn encode(&self) -> ::consign::Result<::consign::__private::Bytes> {
                #encode
            }
            fn decode(kind: &str, version: u32, payload: &[u8]) -> ::consign::Result<Self> {
                ::consign::__private::reads(Self::KINDS[0], kind, version)?;
                #decode
            }
        }
    })
}

fn key_body(name: &Ident, fields: &Fields, key: Option<Expr>) -> Result<TokenStream> {
    let value = match key {
        None => return Ok(quote!(::core::result::Result::Ok(::core::option::Option::None))),
        Some(Expr::Path(path)) => field_access(name, fields, &path)?,
        Some(Expr::Paren(paren)) => quote!(#paren),
        Some(other) => return Err(no_key(&other)),
    };
    let key = quote_spanned!(value.span()=> ::consign::__private::key(&#value));
    Ok(quote!(::core::result::Result::Ok(::core::option::Option::Some(#key?))))
}

fn field_access(name: &Ident, fields: &Fields, path: &ExprPath) -> Result<TokenStream> {
    let known = fields.iter().filter_map(|field| field.ident.as_ref()).collect::<Vec<_>>();
    if known.iter().any(|field| path.path.is_ident(*field)) {
        return Ok(quote_spanned!(path.span()=> self.#path));
    }
    Err(Error::new_spanned(path, no_such_field(name, &known)))
}

fn no_such_field(name: &Ident, known: &[&Ident]) -> String {
    if known.is_empty() {
        return format!(
            "`{name}` has no named fields; write an expression in parentheses: `key = (self.0)`"
        );
    }
    let known = known.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
    format!("`{name}` has no such field; its fields are {known}")
}

fn no_key(expression: &Expr) -> Error {
    let sentence = "a key is a field, or an expression in parentheses: `key = author_id`, \
                    `key = (self.author.id)`";
    Error::new_spanned(expression, sentence)
}
