/** The merged policies of a rule as filters take them: every default applied (api.md, "Defaults"), every unit a number. */
import { hash } from 'node:crypto'
import type { HeaderEditsPolicy, HeaderEntry, PathRewritePolicy, Policies, RewritePolicy } from '../api/policies.ts'
import type { RouteRule } from '../api/route.ts'
import { parseBytes, parseDuration } from '../lib/quantity.ts'
import type { HeaderEdits, PathRewrite, PolicySet, Rewrite, Timeouts } from '../snapshot/policy.ts'

/** The order of the members is part of the digest: always the same. */
export function policyContent(policies: Policies, rule: RouteRule): Omit<PolicySet, 'digest'> {
  const { rewrite, requestHeaders, responseHeaders, retry, limits } = policies
  return {
    action: actionOf(rule),
    ...(rewrite === undefined ? {} : { rewrite: rewriteOf(rewrite) }),
    ...(requestHeaders === undefined ? {} : { requestHeaders: headerEdits(requestHeaders) }),
    ...(responseHeaders === undefined ? {} : { responseHeaders: headerEdits(responseHeaders) }),
    timeouts: timeoutsOf(policies),
    retry: {
      attempts: retry?.attempts ?? 1,
      reasons: retry?.reasons ?? ['ConnectFailure', 'ResetBeforeResponse'],
      codes: retry?.codes ?? [],
      backoff: duration(retry?.backoff, 25),
      budgetPercent: retry?.budgetPercent ?? 20,
    },
    limits: { maxRequestBytes: limits?.maxRequestBytes === undefined ? -1 : parseBytes(limits.maxRequestBytes) },
    upgrades: (policies.upgrades ?? ['websocket']).map((token) => token.toLowerCase()),
    pathEncoding: policies.pathEncoding ?? 'Strict',
  }
}

/** @param text canonical form of a policy set */
export function digestOf(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 32)
}

function actionOf({ redirect, respond }: RouteRule): PolicySet['action'] {
  if (redirect !== undefined) {
    const { scheme, hostname, port, path, statusCode } = redirect
    return {
      type: 'redirect',
      ...(scheme === undefined ? {} : { scheme }),
      ...(hostname === undefined ? {} : { hostname }),
      ...(port === undefined ? {} : { port }),
      ...(path === undefined ? {} : { path: pathRewrite(path) }),
      statusCode,
    }
  }
  if (respond === undefined) return { type: 'forward' }
  const { statusCode, contentType, body } = respond
  return {
    type: 'respond',
    statusCode,
    ...(contentType === undefined ? {} : { contentType }),
    ...(body === undefined ? {} : { body }),
  }
}

function rewriteOf({ hostname, path }: RewritePolicy): Rewrite {
  return {
    ...(hostname === undefined ? {} : { hostname }),
    ...(path === undefined ? {} : { path: pathRewrite(path) }),
  }
}

/** The door has seen that the field named by `type` is there. */
function pathRewrite({ type, replaceFullPath, replacePrefixMatch, replaceRegex }: PathRewritePolicy): PathRewrite {
  if (type === 'ReplaceFullPath') return { type, replaceFullPath: replaceFullPath ?? '/' }
  if (type === 'ReplacePrefixMatch') return { type, replacePrefixMatch: replacePrefixMatch ?? '/' }
  return { type, pattern: replaceRegex?.pattern ?? '', substitution: replaceRegex?.substitution ?? '' }
}

function headerEdits({ set = [], add = [], remove = [] }: HeaderEditsPolicy): HeaderEdits {
  return { set: set.map(headerEntry), add: add.map(headerEntry), remove: remove.map((name) => name.toLowerCase()) }
}

function headerEntry({ name, value }: HeaderEntry): HeaderEntry {
  return { name: name.toLowerCase(), value }
}

function timeoutsOf({ timeouts = {} }: Policies): Timeouts {
  return {
    request: duration(timeouts.request, 0),
    backendRequest: duration(timeouts.backendRequest, 0),
    responseHead: duration(timeouts.responseHead, 60_000),
    idle: duration(timeouts.idle, 60_000),
    tunnelIdle: duration(timeouts.tunnelIdle, 3_600_000),
  }
}

/** Milliseconds. */
function duration(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : parseDuration(text)
}
