/** How many records token issuers have, of each namespace and of each client. */

interface OfNamespace {
  families: number
  marks: number
}

/** @param owner begins with the namespace and a space */
export class GrantCounts {
  families = 0
  marks = 0
  readonly #namespaces = new Map<string, OfNamespace>()
  readonly #clients = new Map<string, number>()
  readonly #marksOfClients = new Map<string, number>()

  family(owner: string, client: string, change: number): void {
    this.families += change
    this.#change(owner, 'families', change)
    add(this.#clients, `${owner} ${client}`, change)
  }

  mark(owner: string, client: string, change: number): void {
    this.marks += change
    this.#change(owner, 'marks', change)
    add(this.#marksOfClients, `${owner} ${client}`, change)
  }

  marksOfClient(owner: string, client: string): number {
    return this.#marksOfClients.get(`${owner} ${client}`) ?? 0
  }

  familiesOfClient(owner: string, client: string): number {
    return this.#clients.get(`${owner} ${client}`) ?? 0
  }

  familiesOfNamespace(owner: string): number {
    return this.#namespaces.get(namespaceOf(owner))?.families ?? 0
  }

  marksOfNamespace(owner: string): number {
    return this.#namespaces.get(namespaceOf(owner))?.marks ?? 0
  }

  #change(owner: string, kind: keyof OfNamespace, change: number): void {
    const namespace = namespaceOf(owner)
    const known = this.#namespaces.get(namespace) ?? { families: 0, marks: 0 }
    known[kind] += change
    if (known.families === 0 && known.marks === 0) this.#namespaces.delete(namespace)
    else this.#namespaces.set(namespace, known)
  }
}

function add(counts: Map<string, number>, key: string, change: number): void {
  const left = (counts.get(key) ?? 0) + change
  if (left === 0) counts.delete(key)
  else counts.set(key, left)
}

function namespaceOf(owner: string): string {
  return owner.slice(0, owner.indexOf(' '))
}
