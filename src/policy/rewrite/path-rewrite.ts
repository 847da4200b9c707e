/**
 * The three ways to replace a path (Gateway API, HTTPPathModifier, and a pattern), shared by `rewrite` and `redirect`.
 */
import { validateQuery } from '../../pattern/query.ts'
import type { DryExchange } from '../exchange.ts'
import type { PathRewrite, PolicySet } from '../policy-set.ts'
import type { FilterServices } from '../services.ts'

export interface RewriteTarget {
  readonly path: string
  readonly query: string | undefined
}

/** Characters of what comes out, where the path itself was shorter: `$0` may be written five hundred times. */
const MAX_TARGET = 65_536

/** @returns undefined when what comes out may not be sent: 400 `BadRewrite` */
export type PathRewriter = (x: DryExchange) => RewriteTarget | undefined

/**
 * The new path must be in normal form already: were it changed by normalising, then what the rule's author wrote and
 * what the upstream would read are two things, and `/..` put together from a prefix and a rest would leave the place
 * that was authorised.
 *
 * A `?` in a replacement begins a query; it goes before the client's own, joined by `&`. Without one the client's query
 * is kept as it is.
 *
 * @throws {TypeError} when the pattern does not compile
 */
export function compilePathRewrite(rewrite: PathRewrite, policy: PolicySet, services: FilterServices): PathRewriter {
  const replace = replacer(rewrite, services)
  const mode = policy.pathEncoding
  return (x) => {
    const text = replace(x)
    if (text.length > Math.max(MAX_TARGET, x.path.length + 2_048)) return undefined
    const mark = text.indexOf('?')
    const path = mark === -1 ? text : text.slice(0, mark)
    if (services.normalizePath(path, mode) !== path) return undefined
    if (mark === -1 || mark === text.length - 1) return { path, query: x.query }
    const query = text.slice(mark + 1)
    if (!validateQuery(query)) return undefined
    return { path, query: x.query === undefined || x.query === '' ? query : `${query}&${x.query}` }
  }
}

function replacer(rewrite: PathRewrite, services: FilterServices): (x: DryExchange) => string {
  switch (rewrite.type) {
    case 'ReplaceFullPath': {
      const text = rewrite.replaceFullPath
      return () => text
    }
    case 'ReplacePrefixMatch': {
      const text = rewrite.replacePrefixMatch
      return (x) => replacePrefix(x.path, x.matchedPrefix, text)
    }
    case 'ReplaceRegex': {
      const pattern = services.compilePattern(rewrite.pattern)
      if ('error' in pattern) throw new TypeError(`the pattern ${rewrite.pattern} cannot be used: ${pattern.error}`)
      const { substitution } = rewrite
      return (x) => pattern.replaceFirst(x.path, substitution)
    }
  }
}

/**
 * Gateway API's rules: slashes at the end of prefix and replacement do not count, a slash after the prefix in the
 * request is kept, and a path never becomes empty.
 *
 * @param length of the part that a PathPrefix match covered; with 0 no prefix was matched and nothing is replaced
 */
export function replacePrefix(path: string, length: number, replacement: string): string {
  if (length === 0) return path
  let end = length
  // Of a matched prefix `/a/`, or of `/` itself, the slash belongs to the rest.
  while (end > 0 && path.charCodeAt(end - 1) === 0x2f) end--
  let keep = replacement.length
  while (keep > 0 && replacement.charCodeAt(keep - 1) === 0x2f) keep--
  const base = replacement.slice(0, keep)
  const rest = path.slice(end)
  // The root matched nothing but its slash: it is the prefix itself, not something below it.
  if (rest === '' || (end === 0 && rest === '/')) return base === '' ? '/' : base
  return base + rest
}
