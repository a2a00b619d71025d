"""service.yaml, and its parts."""

from rankcast.config.service.past import Past
from rankcast.config.service.service import Candidates, Service, Step, Steps
from rankcast.config.service.tables import EventsTable, Paths, Table

__all__ = ["Candidates", "EventsTable", "Past", "Paths", "Service", "Step", "Steps", "Table"]
