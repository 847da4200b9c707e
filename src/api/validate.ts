/**
 * The door: every object, from a folder or a cluster, is judged and completed here by the schemas an API server has,
 * and trusted afterwards. What is not built yet is refused by name, so that no field is ever accepted and ignored.
 */

import { runSteps } from '../lib/steps.ts'
import { POLICIES } from '../policy/built-in.ts'
import type { PolicyDefinition } from '../policy/definition.ts'
import { type CoreSchema, METADATA_SCHEMA } from './core-schemas.ts'
import { costProblems } from './cost.ts'
import { headerValueProblems } from './header-values.ts'
import { resolveIssuerRules } from './issuer-rules.ts'
import { apiVersionOf, KIND_NAMES, KINDS, type Kind, type KindMap, type KindRow } from './kinds.ts'
import { metadataProblems } from './metadata.ts'
import { unbuiltFields } from './not-implemented.ts'
import type { FieldProblem } from './object.ts'
import { policyPathProblems } from './policy-paths.ts'
import { policyProblems } from './policy-places.ts'
import type { Route } from './route.ts'
import { accessProblems, accessWarnings } from './route-access.ts'
import { cacheWarnings } from './route-cache.ts'
import { pathProblems } from './route-paths.ts'
import { tlsProblems, tlsWarnings } from './route-tls.ts'
import { tokenIssuerProblems } from './route-token-issuer.ts'
import { type Checker, compileSchema } from './schema.ts'
import type { Schema } from './schema-dialect.ts'
import type { SettingsObject } from './settings.ts'
import { quoted, suggestion, typeName } from './wording.ts'

export type Verdict<T> =
  /** Defaulted and deeply frozen. */
  | { readonly ok: true; readonly object: T; readonly warnings: readonly FieldProblem[] }
  | { readonly ok: false; readonly problems: readonly FieldProblem[] }

export interface Validator {
  /** Pure; never throws, whatever `raw` is. Every problem is reported, not only the first. */
  check<K extends Kind>(kind: K, raw: unknown): Verdict<KindMap[K]>
  /** The same in steps of some tenths of a millisecond: an object may be as large as an API server lets pass. */
  steps<K extends Kind>(kind: K, raw: unknown): Generator<void, Verdict<KindMap[K]>>
  checkSettings(raw: unknown): Verdict<SettingsObject>
}

export interface SchemaDocuments {
  /** The CRD of Route, as parsed from `crds/headgate.dev_routes.yaml`. */
  readonly route: unknown
  /** The CRD of Backend, `crds/headgate.dev_backends.yaml`. */
  readonly backend: unknown
  /** `schemas/settings.yaml`. */
  readonly settings: unknown
}

/**
 * Compiles the schemas; some milliseconds, once.
 *
 * @param policies rows beside those of the schema; tests bring rows of their own
 * @throws {TypeError} when a document is not what it should be
 */
export function createValidator(
  documents: SchemaDocuments,
  policies: readonly PolicyDefinition[] = POLICIES,
): Validator {
  const kinds = Object.fromEntries(
    KIND_NAMES.map((kind) => {
      const row: KindRow = KINDS[kind]
      const { schema } = row
      const checker = 'crd' in schema ? crdChecker(documents[schema.crd], kind, row) : coreChecker(schema)
      return [kind, { ...row, checker }]
    }),
  ) as unknown as Readonly<Record<Kind, KindCheck>>
  const settings = compileSchema(documents.settings as Schema)
  const steps = <K extends Kind>(kind: K, raw: unknown) =>
    checkObject(kind, kinds[kind], policies, raw) as Generator<void, Verdict<KindMap[K]>>
  return {
    check: (kind, raw) => runSteps(steps(kind, raw)),
    steps,
    checkSettings(raw) {
      // An empty file is all defaults.
      const { value, problems, warnings } = settings(raw ?? {})
      problems.push(...unbuiltFields('Settings', value))
      if (problems.length === 0) {
        problems.push(...runSteps(policyProblems('Settings', value, policies)))
        problems.push(...runSteps(headerValueProblems('Settings', value)))
      }
      return problems.length > 0 ? { ok: false, problems } : { ok: true, object: value as SettingsObject, warnings }
    },
  }
}

interface KindCheck extends KindRow {
  readonly checker: Checker
}

function crdChecker(document: unknown, kind: Kind, row: KindRow): Checker {
  const crd = document as {
    readonly spec?: {
      readonly group?: string
      readonly names?: { readonly kind?: string }
      readonly versions?: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[]
    }
  }
  const version = crd?.spec?.versions?.[0]
  const spec = version?.schema.openAPIV3Schema.properties?.spec
  if (version === undefined || spec === undefined || crd.spec?.names?.kind !== kind)
    throw new TypeError(`this is not the CustomResourceDefinition of ${kind}`)
  if (crd.spec.group !== row.group || version.name !== row.version)
    throw new TypeError(`the CustomResourceDefinition of ${kind} is not of ${apiVersionOf(row)}`)
  return compileSchema({
    type: 'object',
    required: ['spec'],
    properties: { ...IDENTITY, spec },
    // Written by the status writer only; a status in a file is ignored.
    'x-headgate-unread': ['status'],
  })
}

const IDENTITY: Readonly<Record<string, Schema>> = {
  apiVersion: { type: 'string' },
  kind: { type: 'string' },
  metadata: METADATA_SCHEMA,
}

function coreChecker({ properties, required = [], unread = [] }: CoreSchema): Checker {
  const schema: Schema = {
    type: 'object',
    required,
    properties: { ...IDENTITY, ...properties },
    'x-headgate-unread': unread,
  }
  return compileSchema(schema, { unknown: 'warn' })
}

type Raw = { readonly apiVersion?: unknown; readonly kind?: unknown; readonly metadata?: unknown }

function* checkObject(
  kind: Kind,
  row: KindCheck,
  policies: readonly PolicyDefinition[],
  raw: unknown,
): Generator<void, Verdict<unknown>> {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    return { ok: false, problems: [{ path: [], reason: 'Type', message: `must be an object, not ${typeName(raw)}` }] }
  // Before anything is compiled or compared: what costs too much must not cost that much to be refused.
  const costs = costProblems(kind, raw)
  if (costs.length > 0) return { ok: false, problems: costs }
  const { value, problems, warnings } = yield* row.checker.steps(raw)
  let object = value as Identified
  problems.push(...identityProblems(kind, apiVersionOf(row), raw as Raw))
  if (isObject(object.metadata)) problems.push(...metadataProblems(kind, object.metadata))
  else if (problems.every((problem) => problem.path[0] !== 'metadata'))
    problems.push({ path: ['metadata', 'name'], reason: 'Required', message: 'must be given' })
  if (row.payload !== undefined) problems.push(...base64Problems(object, row.payload.base64))
  if (kind === 'Route' || kind === 'Backend') problems.push(...unbuiltFields(kind, object))
  // Last, because it relies on everything having its type.
  if (kind === 'Route' && problems.length === 0) {
    problems.push(...(yield* policyProblems('Route', object, policies)))
    problems.push(...policyPathProblems(object, policies))
    problems.push(...(yield* headerValueProblems('Route', object)))
    problems.push(...(yield* pathProblems(object as unknown as Route)))
    problems.push(...tlsProblems(object as unknown as Route))
    problems.push(...tokenIssuerProblems(object as unknown as Route))
    const resolved = resolveIssuerRules(object)
    problems.push(...resolved.problems)
    object = resolved.object
    warnings.push(...tlsWarnings(object as unknown as Route))
    problems.push(...accessProblems(object as unknown as Route))
    warnings.push(...accessWarnings(object as unknown as Route))
    warnings.push(...cacheWarnings(object as unknown as Route))
  }
  if (problems.length > 0) return { ok: false, problems }
  return { ok: true, object: complete(row, object), warnings }
}

interface Identified {
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly [field: string]: unknown
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function identityProblems(kind: Kind, apiVersion: string, raw: Raw): FieldProblem[] {
  const problems: FieldProblem[] = []
  const wrong = (field: 'apiVersion' | 'kind', wanted: string) => {
    const given = raw[field]
    if (given === wanted) return
    if (given === undefined || given === null)
      problems.push({ path: [field], reason: 'Required', message: `must be given; write ${field}: ${wanted}` })
    // Only text remains; the schema has rejected other types.
    else if (typeof given === 'string')
      problems.push({
        path: [field],
        reason: 'Invalid',
        message: `${quoted(given)} is not served for a ${kind}; write ${field}: ${wanted}${suggestion(given, [wanted])}`,
      })
  }
  wrong('apiVersion', apiVersion)
  wrong('kind', kind)
  return problems
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/** Messages never show the value: it is a secret. */
function base64Problems(object: Identified, field: 'data' | 'binaryData'): FieldProblem[] {
  const data = object[field]
  if (!isObject(data)) return []
  return Object.entries(data)
    .filter(([, text]) => typeof text === 'string' && !isBase64(text))
    .map(([key]) => ({
      path: [field, key],
      reason: 'Invalid' as const,
      message: field === 'data' ? 'is not Base64; plain text goes under stringData' : 'is not Base64',
    }))
}

/** RFC 4648 §4, with line breaks anywhere as Go's decoder has it. */
function isBase64(text: string): boolean {
  const compact = text.replaceAll(/[\r\n]/g, '')
  return compact.length % 4 === 0 && BASE64.test(compact)
}

/** What is not in the schemas: the namespace of a file that gives none, and a Secret's `stringData`. */
function complete({ namespaced, payload }: KindRow, object: Identified): unknown {
  const namespace = namespaced ? (object.metadata.namespace ?? 'default') : ''
  const metadata =
    object.metadata.namespace === namespace ? object.metadata : Object.freeze({ ...object.metadata, namespace })
  const { stringData, ...rest } = object
  if (payload?.written === undefined || stringData === undefined)
    return metadata === object.metadata ? object : Object.freeze({ ...object, metadata })
  const data = { ...(object.data as Record<string, string>) }
  for (const [key, text] of Object.entries(stringData as Record<string, string>))
    data[key] = Buffer.from(text, 'utf8').toString('base64')
  return Object.freeze({ ...rest, metadata, data: Object.freeze(data) })
}
