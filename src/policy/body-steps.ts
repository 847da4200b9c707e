/** Composes the body steps of a chain's filters for one exchange. */
import { GatewayError } from '../lib/error.ts'
import type { BodyStepFactory, BodyTee } from '../message/body.ts'
import type { ResponseHead } from '../message/head.ts'
import type { Chain } from './chain.ts'
import type { Exchange } from './exchange.ts'

export interface RequestBodySteps {
  /** For `composeBody`, in the order that the bytes take. */
  readonly steps: readonly BodyStepFactory[]
  /** Bytes that the request announces upstream; undefined = not known in advance. The steps hold the body to it. */
  readonly length: number | undefined
}

/** Steps that the request's body passes; null when there are none. */
export function requestBodySteps(chain: Chain, x: Exchange): RequestBodySteps | null {
  if (chain.requestBody === null) return null
  let steps: BodyStepFactory[] | null = null
  let length = x.requestBodyLength
  for (const hook of chain.requestBody) {
    const given = hook.run(x)
    if (given === undefined) continue
    ;(steps ??= []).push(given.step)
    if (given.length === 'kept') continue
    length = given.length === 'unknown' ? undefined : given.length
    if (length !== undefined && !(Number.isSafeInteger(length) && length >= 0))
      throw new TypeError(`${hook.name} announces a body of ${length} bytes`)
  }
  if (steps === null) return null
  if (length !== undefined) steps.push(exactly(length))
  return { steps, length }
}

/**
 * What is announced is sent: a byte more would be read as the beginning of another request, a byte less would take one
 * from it (RFC 9112 §11.2).
 */
function exactly(length: number): BodyStepFactory {
  return (sink, resume) => {
    let left = length
    const fail = (what: string) =>
      sink.fail(new GatewayError('InternalError', `a filter's body is ${what} than the ${length} bytes it announced`))
    return {
      data(chunk) {
        left -= chunk.length
        if (left >= 0) return sink.write(chunk)
        fail('longer')
        return true
      },
      end() {
        if (left > 0) fail('shorter')
        // A body of announced length has no trailers.
        else sink.end(null)
      },
      drained: resume,
      abort() {},
    }
  }
}

/**
 * Steps that the response's body passes, in the order that the bytes take; null when there are none. To be asked after
 * `runResponse` or `runLocalResponse`.
 *
 * @param from of the replacement, or the chain's length where the upstream's response goes on
 */
export function responseBodySteps(
  chain: Chain,
  x: Exchange,
  head: ResponseHead,
  from: number,
): (BodyStepFactory | BodyTee)[] | null {
  if (chain.responseBody === null) return null
  let steps: (BodyStepFactory | BodyTee)[] | null = null
  for (const hook of chain.responseBody) {
    if (hook.position >= from) continue
    const step = hook.run(x, head)
    if (step === undefined) continue
    if (steps === null) steps = [step]
    else steps.push(step)
  }
  return steps
}
