//! The impl for an enum: each variant is a message of its own kind, all of them of one topic.

use crate::message::{find_message, refuse_on_fields};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DataEnum, DeriveInput, Error, Fields, Ident, Result, Type, Variant};

pub(crate) fn expand(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    refuse_attributes(input, data)?;
    let variants = Variants::of(input, data)?;
    let message = variants.message_impl();
    let conversions = variants.conversions();
    let checks = variants.checks();
    Ok(quote!(#message #conversions #checks))
}

struct Variants<'a> {
    name: &'a Ident,
    idents: Vec<&'a Ident>,
    types: Vec<&'a Type>,
}

impl<'a> Variants<'a> {
    fn of(input: &'a DeriveInput, data: &'a DataEnum) -> Result<Self> {
        let types = data.variants.iter().map(held_message).collect::<Result<Vec<_>>>()?;
        if types.is_empty() {
            return Err(Error::new_spanned(&input.ident, "an enum of messages needs a variant"));
        }
        refuse_twice(&input.ident, &types)?;
        let idents = data.variants.iter().map(|variant| &variant.ident).collect();
        Ok(Self { name: &input.ident, idents, types })
    }

    fn message_impl(&self) -> TokenStream {
        let Self { name, types, .. } = self;
        let first = types[0];
        let (kind, key, encode) = (self.ask("kind"), self.ask("key"), self.ask("encode"));
        let decode = self.decode_body();
        quote! {
            #[automatically_derived]
            impl ::consign::Message for #name {
                const TOPIC: &'static str = <#first as ::consign::Message>::TOPIC;
                const KINDS: &'static [::consign::Kind] =
                    &::consign::__private::join::<{
                        0 #(+ <#types as ::consign::Message>::KINDS.len())*
                    }>(&[#(<#types as ::consign::Message>::KINDS),*]);

                fn kind(&self) -> ::consign::Kind {
                    #kind
                }
                fn key(&self) -> ::consign::Result<::core::option::Option<::consign::Key>> {
                    #key
                }
                fn encode(&self) -> ::consign::Result<::consign::__private::Bytes> {
                    #encode
                }
                fn decode(kind: &str, version: u32, payload: &[u8]) -> ::consign::Result<Self> {
                    #decode
                }
            }
        }
    }

    /// Asks the held message the same question.
    fn ask(&self, question: &str) -> TokenStream {
        let idents = &self.idents;
        let question = Ident::new(question, self.name.span());
        quote! {
            match self {
                #(Self::#idents(message) => ::consign::Message::#question(message),)*
            }
        }
    }

    fn decode_body(&self) -> TokenStream {
        let Self { idents, types, .. } = self;
        quote! {
            #(
                if <#types as ::consign::Message>::KINDS.iter().any(|known| known.name == kind) {
                    return ::core::result::Result::Ok(Self::#idents(
                        <#types as ::consign::Message>::decode(kind, version, payload)?,
                    ));
                }
            )*
            ::consign::__private::unknown_kind(kind)
        }
    }

    fn conversions(&self) -> TokenStream {
        let Self { name, idents, types } = self;
        quote! {
            #(
                #[automatically_derived]
                impl ::core::convert::From<#types> for #name {
                    fn from(message: #types) -> Self {
                        Self::#idents(message)
                    }
                }
            )*
        }
    }

    /// What only the compiler knows, since it stands on other types: their topics and kinds.
    fn checks(&self) -> TokenStream {
        let name = self.name;
        let one_topic = self.types.iter().map(|held| self.check_topic(held));
        let sentence = format!("two variants of `{name}` have the same kind");
        quote_spanned! {name.span()=>
            #(#one_topic)*
            const _: () = ::core::assert!(
                !::consign::__private::has_twice(<#name as ::consign::Message>::KINDS),
                #sentence
            );
        }
    }

    fn check_topic(&self, held: &Type) -> TokenStream {
        let first = self.types[0];
        let sentence = format!(
            "the messages of `{}` belong to several topics; a subscription reads one",
            self.name
        );
        quote_spanned! {held.span()=>
            const _: () = ::core::assert!(
                ::consign::__private::same(
                    <#held as ::consign::Message>::TOPIC,
                    <#first as ::consign::Message>::TOPIC,
                ),
                #sentence
            );
        }
    }
}

fn refuse_attributes(input: &DeriveInput, data: &DataEnum) -> Result<()> {
    let on_variants = data.variants.iter().find_map(|variant| find_message(&variant.attrs));
    if let Some(attribute) = find_message(&input.attrs).or(on_variants) {
        let sentence =
            "an enum lists messages: kind, topic and key stand on the struct of each variant";
        return Err(Error::new_spanned(attribute, sentence));
    }
    data.variants.iter().try_for_each(|variant| refuse_on_fields(&variant.fields))
}

fn held_message(variant: &Variant) -> Result<&Type> {
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(&fields.unnamed[0].ty),
        _ => {
            let ident = &variant.ident;
            let sentence = format!("a variant holds one message: `{ident}(Article{ident})`");
            Err(Error::new_spanned(variant, sentence))
        }
    }
}

/// The kinds would be found equal later; this says it at the type, before `From` conflicts.
fn refuse_twice(name: &Ident, types: &[&Type]) -> Result<()> {
    let texts = types.iter().map(|held| held.to_token_stream().to_string()).collect::<Vec<_>>();
    match (1..texts.len()).find(|&later| texts[..later].contains(&texts[later])) {
        None => Ok(()),
        Some(later) => {
            let sentence = format!("two variants of `{name}` hold the same message");
            Err(Error::new_spanned(types[later], sentence))
        }
    }
}
