"""The words of a zero-shot bank, before any network sees them: plain strings in, strings out.

| file | what |
| --- | --- |
| corpus.py | candidate negatives: WordNet's own files, official text files, or the embedded list |
| embedded.py | 357 everyday nouns and 67 adjectives, for what must run without a download |
| phrases.py | CSP's noun phrases: an adjective and the name of a superclass |
| prompts.py | the templates of the official programs; averaging the features of several |
| class_names.py | names of the ID classes |
| codes.py | numbers and WordNet ids beside them |
"""

from adapt_jax.text_bank import class_names, corpus, phrases, prompts
from adapt_jax.text_bank.corpus import Corpus

__all__ = ["Corpus", "class_names", "corpus", "phrases", "prompts"]
