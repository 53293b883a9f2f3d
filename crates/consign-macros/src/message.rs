//! What the derive is put on: a struct of one kind, an enum of several, or what is no message.

use crate::{one_kind, several_kinds};
use proc_macro2::TokenStream;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Result};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    refuse_generics(input)?;
    match &input.data {
        Data::Struct(data) => one_kind::expand(input, &data.fields),
        Data::Enum(data) => several_kinds::expand(input, data),
        Data::Union(_) => Err(Error::new_spanned(
            &input.ident,
            "a message is a struct, or an enum with one struct a variant",
        )),
    }
}

/// Finds `#[message(...)]` among the attributes of a type, a variant or a field.
pub(crate) fn find_message(attributes: &[Attribute]) -> Option<&Attribute> {
    attributes.iter().find(|attribute| attribute.path().is_ident("message"))
}

pub(crate) fn refuse_on_fields(fields: &Fields) -> Result<()> {
    match fields.iter().find_map(|field| find_message(&field.attrs)) {
        None => Ok(()),
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            "`#[message(...)]` stands on the struct; there `key = its_name` makes a field the key",
        )),
    }
}

/// A kind names one shape of payload, so a type with parameters would need a kind for each use.
fn refuse_generics(input: &DeriveInput) -> Result<()> {
    if input.generics.params.is_empty() {
        return Ok(());
    }
    let sentence = format!(
        "a message owns its data and has one shape: write `{}` without parameters",
        input.ident
    );
    Err(Error::new_spanned(&input.generics, sentence))
}
