/**
 * Copies requests for another Backend: as they go to the upstream, behind all other filters. A request without a body
 * is copied at once; a body is copied while it passes, and the copy is sent when the body is complete.
 */
import type { BodyStepFactory } from '../../message/body.ts'
import { attribute } from '../attribute.ts'
import type { Filter } from '../filter.ts'
import type { FilterServices, MirrorCopy, MirrorTarget } from '../services.ts'

export interface MirrorPlan extends MirrorTarget {
  /** More than 0. */
  readonly percent: number
}

/** The request has a body, and is to be copied with it. */
const COPIED = attribute<boolean>('mirrored')

export function mirrorRequests(plan: MirrorPlan, { mirrors, random }: FilterServices): Filter {
  const { percent, backend } = plan
  return {
    name: 'mirror',
    onRequest(x) {
      if (percent < 100 && random() * 100 >= percent) return undefined
      if (x.requestBodyLength === 0) mirrors.begin(x, plan)?.end()
      else x.set(COPIED, true)
      return undefined
    },
    requestBody(x) {
      const copy = x.get(COPIED) === true ? mirrors.begin(x, plan) : null
      return copy === null ? undefined : { step: tee(copy), length: 'kept' }
    },
    explain: () => ({ filter: 'mirror', effect: `sends a copy of ${percent} % of the requests to ${backend}` }),
  }
}

/** Whatever becomes of the copy, the body goes on as it came. */
function tee(copy: MirrorCopy): BodyStepFactory {
  return (sink, resume) => ({
    data(chunk) {
      copy.add(chunk)
      return sink.write(chunk)
    },
    end(trailers) {
      copy.end()
      sink.end(trailers)
    },
    drained: resume,
    abort: () => copy.drop(),
  })
}
