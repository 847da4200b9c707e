/** `requestHeaders` and `responseHeaders`: the same edits on either head. */

import { GatewayError } from '../../lib/error.ts'
import { type Fields, looseName } from '../../message/fields.ts'
import type { ResponseHead } from '../../message/head.ts'
import type { DryExchange } from '../exchange.ts'
import type { HeaderEdits, HeaderValue } from '../policy-set.ts'
import type { FilterDefinition } from '../registry.ts'
import { compileTemplate, MAX_RENDERED, type Template, type TemplateSide } from '../variables.ts'
import { checkFieldName } from './field-names.ts'

interface Edit {
  readonly name: string
  readonly value: Template
}

/**
 * All values are taken before the first change, so that they show the message as it came and a field can be renamed
 * (`set` the new name to `%{header:old}`, `remove` the old). Then `remove`, `set`, `add`, in this order.
 *
 * A value whose variables are all empty is not sent: `set` then only removes, so that a client's own `x-user` never
 * passes for a missing claim.
 */
class CompiledEdits {
  readonly #set: readonly Edit[]
  readonly #add: readonly Edit[]
  /** Names of `remove`, then of `set`. */
  readonly #away: readonly string[]
  /**
   * On a request what is taken away goes in every spelling: a server that reads `x_user` and `x-user` as one would see
   * what a client sent under the name that was set.
   */
  readonly #loosely: boolean

  /** Of a request: what clients cannot send otherwise. */
  get names(): readonly string[] {
    return this.#away
  }

  constructor(edits: HeaderEdits, side: TemplateSide) {
    this.#set = edits.set.map((value) => compile(value, side))
    this.#add = edits.add.map((value) => compile(value, side))
    this.#loosely = side === 'request'
    const away = [...edits.remove.map(checkedName), ...this.#set.map(({ name }) => name)]
    this.#away = this.#loosely ? away.map(looseName) : away
  }

  apply(fields: Fields, x: DryExchange, head: ResponseHead | null): void {
    const set = values(this.#set, x, head)
    const add = values(this.#add, x, head)
    for (const name of this.#away) {
      if (this.#loosely) fields.removeLoosely(name)
      else fields.remove(name)
    }
    for (let i = 0; i < this.#set.length; i++) put(fields, this.#set[i]!, set === null ? undefined : set[i])
    for (let i = 0; i < this.#add.length; i++) put(fields, this.#add[i]!, add === null ? undefined : add[i])
  }
}

const COMPILED = {
  request: new WeakMap<HeaderEdits, CompiledEdits>(),
  response: new WeakMap<HeaderEdits, CompiledEdits>(),
} satisfies Record<TemplateSide, unknown>

/** Once for the same edits: what one owner enforces, the policies of thousands of rules may share. */
function compiled(edits: HeaderEdits, side: TemplateSide): CompiledEdits {
  let known = COMPILED[side].get(edits)
  if (known === undefined) COMPILED[side].set(edits, (known = new CompiledEdits(edits, side)))
  return known
}

function compile({ name, value }: HeaderValue, side: TemplateSide): Edit {
  return { name: checkedName(name), value: compileTemplate(value, side) }
}

function checkedName(name: string): string {
  const problem = checkFieldName(name)
  if (problem !== undefined) throw new TypeError(problem)
  return name
}

/** The values of this exchange, or null where all are constant. */
function values(edits: readonly Edit[], x: DryExchange, head: ResponseHead | null): string[] | null {
  let all: string[] | null = null
  let length = 0
  for (let i = 0; i < edits.length; i++) {
    const { value } = edits[i]!
    if (value.constant !== null) continue
    all ??= new Array<string>(edits.length).fill('')
    const text = value.render(x, head)
    length += text.length
    if (length > MAX_RENDERED)
      throw new GatewayError('HeadTooLarge', `the header values made of variables are over ${MAX_RENDERED} characters`)
    all[i] = text
  }
  return all
}

function put(fields: Fields, { name, value }: Edit, rendered: string | undefined): void {
  if (value.constant !== null) fields.add(name, value.constant)
  else if (rendered !== undefined && rendered !== '') fields.add(name, rendered)
}

function describe(edits: HeaderEdits): string {
  const parts = [
    ...edits.remove.map((name) => `removes ${name}`),
    ...edits.set.map(({ name, value }) => `sets ${name}: ${value}`),
    ...edits.add.map(({ name, value }) => `adds ${name}: ${value}`),
  ]
  return parts.join(', ')
}

function isEmpty(edits: HeaderEdits | undefined): edits is undefined {
  return edits === undefined || edits.set.length + edits.add.length + edits.remove.length === 0
}

export const requestHeaders: FilterDefinition = {
  name: 'request-headers',
  phase: 'request-headers',
  create(policy) {
    // A rule that answers itself sends no request that could be changed.
    if (isEmpty(policy.requestHeaders) || policy.action.type !== 'forward') return undefined
    const described = policy.requestHeaders
    const edits = compiled(described, 'request')
    return {
      name: 'request-headers',
      requestFields: edits.names,
      onRequest(x) {
        edits.apply(x.request, x, null)
        return undefined
      },
      explain: () => ({ filter: 'request-headers', effect: `${describe(described)} on the request` }),
      rehearse: (x) => edits.apply(x.request, x, null),
    }
  },
}

export const responseHeaders: FilterDefinition = {
  name: 'response-headers',
  phase: 'response-headers',
  create(policy) {
    if (isEmpty(policy.responseHeaders)) return undefined
    const described = policy.responseHeaders
    const edits = compiled(described, 'response')
    return {
      name: 'response-headers',
      onResponse(x, head) {
        edits.apply(head.fields, x, head)
        return undefined
      },
      explain: () => ({ filter: 'response-headers', effect: `${describe(described)} on the response` }),
    }
  },
}
