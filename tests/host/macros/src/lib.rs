// SPDX-License-Identifier: GPL-2.0

//! Stand-in for the kernel's `macros` crate.

use proc_macro::{
    Delimiter,
    Group,
    TokenStream,
    TokenTree, //
};

/// What the kernel's macro lets a test say: no message, nothing but `assert!` and `assert_eq!`.
const ASSERTIONS: &str = r#"
    #[allow(unused)]
    macro_rules! assert {
        ($cond:expr $(,)?) => { ::core::assert!($cond) };
    }
    #[allow(unused)]
    macro_rules! assert_eq {
        ($left:expr, $right:expr $(,)?) => { ::core::assert!($left == $right) };
    }
"#;

fn error(message: &str) -> TokenStream {
    format!("::core::compile_error!({message:?});")
        .parse()
        .expect("a string literal is a token")
}

/// Makes a module of `#[test]` functions one that the host's test runner runs.
///
/// In the kernel the same module is a KUnit suite of the given name, which runs at `insmod`.
#[proc_macro_attribute]
pub fn kunit_tests(suite: TokenStream, module: TokenStream) -> TokenStream {
    let suite: Vec<TokenTree> = suite.into_iter().collect();
    if !matches!(suite.as_slice(), [TokenTree::Ident(_)]) {
        return error("`#[kunit_tests(name)]` wants the name of the suite");
    }
    let mut tokens: Vec<TokenTree> = module.into_iter().collect();
    let Some(TokenTree::Group(body)) = tokens.pop() else {
        return error("`#[kunit_tests(name)]` is for inline modules");
    };
    if body.delimiter() != Delimiter::Brace {
        return error("`#[kunit_tests(name)]` is for inline modules");
    }

    let mut items: TokenStream = ASSERTIONS.parse().expect("the macros above are tokens");
    items.extend(body.stream());
    let mut body = Group::new(Delimiter::Brace, items);
    body.set_span(tokens.first().map_or(body.span(), TokenTree::span));
    tokens.push(TokenTree::Group(body));

    let mut output: TokenStream = "#[cfg(test)]".parse().expect("an attribute is tokens");
    output.extend(tokens);
    output
}
