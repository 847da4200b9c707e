/**
 * Guards the callbacks that a filter leaves with others: timers and signals call them when no exchange does, and what
 * they threw would end the thread. What they throw, or reject with, is reported instead.
 */
import type { TimerClock } from '../lib/clock.ts'
import type { FilterServices } from './services.ts'

type Report = (error: unknown) => void
type AbortListener = ((event: Event) => unknown) | { handleEvent(event: Event): unknown }

/** Of one worker's services, by the name of the filter. */
const guarded = new WeakMap<FilterServices, Map<string, FilterServices>>()

/** The services as one filter is handed them: the faults of its callbacks are reported by its name. */
export function guardedServices(services: FilterServices, filter: string): FilterServices {
  const byFilter = guarded.get(services) ?? new Map<string, FilterServices>()
  guarded.set(services, byFilter)
  const known = byFilter.get(filter)
  if (known !== undefined) return known
  const timers = guardedTimers(services.timers, (error) => services.report(filter, error))
  const own: FilterServices = { ...services, timers }
  byFilter.set(filter, own)
  return own
}

function guardedTimers(
  timers: FilterServices['timers'],
  report: Report,
): Pick<TimerClock, 'after' | 'every' | 'nextTurn'> {
  return {
    after: (delay, run) => timers.after(delay, () => call(run, report)),
    every: (interval, run) => timers.every(interval, () => call(run, report)),
    nextTurn: (run) => timers.nextTurn(() => call(run, report)),
  }
}

/** A controller whose signal may be handed to filters. A signal that a filter derives from it is the filter's own. */
export function guardedAbort(report: Report): AbortController {
  const controller = new AbortController()
  const { signal } = controller
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  const guards = new WeakMap<AbortListener, EventListener>()
  // `onabort` is set by way of these two.
  signal.addEventListener = (
    type: string,
    listener: AbortListener | null,
    options?: AddEventListenerOptions | boolean,
  ) => {
    if (listener === null) return
    const guard = guards.get(listener) ?? ((event) => call(() => hear(signal, listener, event), report))
    guards.set(listener, guard)
    add(type, guard, options)
  }
  signal.removeEventListener = (
    type: string,
    listener: AbortListener | null,
    options?: EventListenerOptions | boolean,
  ) => {
    const guard = listener === null ? undefined : guards.get(listener)
    if (guard !== undefined) remove(type, guard, options)
  }
  return controller
}

function hear(signal: AbortSignal, listener: AbortListener, event: Event): unknown {
  return typeof listener === 'function' ? listener.call(signal, event) : listener.handleEvent(event)
}

function call(run: () => unknown, report: Report): void {
  try {
    const result = run()
    if (result instanceof Promise) result.catch(report)
  } catch (error) {
    report(error)
  }
}
