/** Which backends have the endpoints of which Services, counted by the objects that name them. */
import type { Impact } from './impact.ts'

export class ServiceUsers {
  /** Backend ids by Service (`namespace/name`), each with the number of objects that name it. */
  readonly #users = new Map<string, Map<string, number>>()

  /** `namespace/name` of every Service that is named. */
  get services(): Iterable<string> {
    return this.#users.keys()
  }

  has(service: string): boolean {
    return this.#users.has(service)
  }

  count(service: string, id: string, by: 1 | -1): void {
    const users = this.#users.get(service) ?? new Map<string, number>()
    const count = (users.get(id) ?? 0) + by
    if (count > 0) users.set(id, count)
    else users.delete(id)
    if (users.size > 0) this.#users.set(service, users)
    else this.#users.delete(service)
  }

  /** Of a change of the Service's endpoints. */
  impactOf(service: string): Impact {
    const users = this.#users.get(service)
    return users === undefined ? 'ignore' : { endpoints: [...users.keys()] }
  }
}
